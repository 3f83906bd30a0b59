/**
 * The rooms of this worker's slot, between the broker that orders them and all who want them here: this
 * worker and others. The broker is asked once, however many they are, so that a message enters the
 * machine once. V2: nothing is locked; a place is told in the turn the broker tells. V8: what is asked for a room
 * is asked no longer than somebody is in it.
 *
 * V4, V20: a room has one stream of what the broker tells, and nobody is ahead of it in another epoch: who
 * comes without a position begins where the stream is, also while that is behind the broker, and is answered
 * with where it has begun, also where the stream has gone on since; who comes from another epoch than the stream
 * is told a reset to it.
 *
 * Not here: what a place is told (`guests.ts`), the links (`host.ts`).
 */
import { isThenable } from '../../thenable.js';
import type { Broker, LossReason, MaybePromise, Position, Publication } from '../broker.js';
import type { Place } from './guests.js';

interface OwnedRoom {
  readonly name: string;
  readonly places: Set<Place>;
  /** What the broker delivered or told last; what follows is told next. Null before it is known. */
  known: Position | null;
  /** Where the broker was when it answered last. */
  head: Position | null;
  /** Settles with the latest subscription, or before it. */
  answered: Promise<unknown> | null;
  /** The latest publication that was counted. */
  counted: Position | null;
  /** Ends what is asked of the broker for it: nobody is in it any more. Null before anything is answered later. */
  ended: AbortController | null;
  /** Who asked whether everything is told, and who has asked since: they share the next answer. */
  settling: Promise<void> | null;
  next: Promise<void> | null;
}

export class Owner {
  readonly #broker: Broker;
  readonly #rooms = new Map<string, OwnedRoom>();
  readonly #closing = new AbortController();
  /** For the next room of which the broker answers later. */
  #unused = new AbortController();
  /** Publications that came from the broker. */
  published = 0;

  constructor(broker: Broker) {
    this.#broker = broker;
    broker.onDeliver((publication) => this.#deliver(publication));
    broker.onLost((room, to, reason) => this.#lost(room, to, reason));
    broker.onReset((room, position) => this.#reset(room, position));
  }

  /** How many anybody is in. */
  get rooms(): number {
    return this.#rooms.size;
  }

  /** Where the room is, as far as it is known here. */
  positionOf(room: string): Position | null {
    return this.#rooms.get(room)?.known ?? null;
  }

  /**
   * Has the place told of its room from now on, or from what its guest has had. The answer is also told
   * to the place itself.
   */
  open(place: Place, since?: Position): MaybePromise<Position> {
    const room = this.#room(place.room);
    room.places.add(place);
    const { known } = room;
    if (known === null) return this.#subscribe(room, place, since);
    if (since === undefined || (since.epoch === known.epoch && since.seq >= known.seq)) {
      return this.#opened(place, known);
    }
    if (since.epoch === known.epoch) return this.#subscribe(room, place, lowest(room, since));
    // Which of the two epochs is the later one only the broker can say.
    if (room.answered !== null) return room.answered.then(() => this.#move(room, place, since));
    return this.#move(room, place, since);
  }

  close(place: Place): void {
    if (place.isGone) return;
    place.isGone = true;
    const room = this.#rooms.get(place.room);
    if (!room?.places.delete(place) || room.places.size > 0) return;
    this.#rooms.delete(room.name);
    room.ended?.abort(new Error('nobody is in the room any more'));
    const { signal } = this.#closing;
    // What is still delivered of it goes nowhere; who opens it next subscribes anew.
    const ignore = () => {};
    try {
      const answer = this.#broker.unsubscribe(room.name, signal);
      if (isThenable(answer)) Promise.resolve(answer).catch(ignore);
    } catch {
      ignore();
    }
  }

  /**
   * Resolves when everything that was published before is told, or nobody is in the room any more. However many
   * ask, and however long the broker is away, it is asked twice a room at most.
   */
  settled(name: string): MaybePromise<void> {
    const room = this.#rooms.get(name);
    if (room === undefined) return;
    if (room.settling === null) return this.#settle(room);
    const next = () => {
      room.next = null;
      return this.#settle(room);
    };
    room.next ??= room.settling.then(next, next);
    return room.next;
  }

  /** Ends what waits for the broker. */
  end(): void {
    const why = new Error('the server is shutting down');
    this.#closing.abort(why);
    for (const { ended } of this.#rooms.values()) ended?.abort(why);
  }

  #settle(room: OwnedRoom): MaybePromise<void> {
    room.ended ??= new AbortController();
    const answer = this.#broker.settled?.(room.name, room.ended.signal);
    if (!isThenable(answer)) return;
    const asked: Promise<void> = Promise.resolve(answer).finally(() => {
      room.settling = null;
    });
    room.settling = asked;
    return asked;
  }

  /** Has the broker tell the room from `since` on, or from where it is. */
  #subscribe(room: OwnedRoom, place: Place, since?: Position): MaybePromise<Position> {
    const before = room.known;
    if (since !== undefined) room.known = since;
    const refused = (error: unknown): never => {
      if (room.known === since) room.known = before;
      this.#refused(room, place);
      throw error;
    };
    let answer: MaybePromise<Position>;
    const ended = room.ended ?? this.#unused;
    try {
      answer = this.#broker.subscribe(room.name, ended.signal, since);
    } catch (error) {
      return refused(error);
    }
    const answered = (position: Position) => {
      room.head = position;
      room.known ??= position;
      return this.#opened(place, place.epoch === '' ? room.known : position);
    };
    if (!isThenable(answer)) return answered(answer);
    room.ended = ended;
    if (ended === this.#unused) this.#unused = new AbortController();
    const opened = Promise.resolve(answer).then(answered, refused);
    const settled = opened
      .catch(() => {})
      .then(() => {
        if (room.answered === settled) room.answered = null;
      });
    room.answered = settled;
    return opened;
  }

  /** Brings a place and the stream, which are in two epochs, into that of the broker. */
  #move(room: OwnedRoom, place: Place, since: Position): MaybePromise<Position> {
    const { known, head } = room;
    if (place.isGone) return since;
    if (known === null || head === null) return this.#subscribe(room, place, since);
    const isThere = known.epoch === head.epoch;
    const from = isThere ? known : lowest(room, head);
    place.opened(from);
    for (const each of room.places) each.reset(from);
    return isThere ? known : this.#subscribe(room, place, from);
  }

  #opened(place: Place, position: Position): Position {
    // It has left meanwhile; the room was let go of then, or others are in it.
    if (!place.isGone) place.opened(position);
    // What was told may have overtaken the answer of the broker, for which it has waited.
    return place.began ?? position;
  }

  #refused(room: OwnedRoom, place: Place): void {
    place.isGone = true;
    room.places.delete(place);
    if (room.places.size === 0 && this.#rooms.get(room.name) === room) {
      this.#rooms.delete(room.name);
    }
  }

  #deliver(publication: Publication): void {
    const room = this.#rooms.get(publication.room);
    if (room === undefined) return;
    const { seq, epoch } = publication;
    room.known = { seq, epoch };
    const { counted } = room;
    // What comes again for who has come back was counted.
    if (counted?.epoch !== epoch || counted.seq < seq) {
      this.published += 1;
      room.counted = room.known;
    }
    for (const place of room.places) place.message(publication);
  }

  #lost(name: string, to: number, reason: LossReason = 'broker'): void {
    const room = this.#rooms.get(name);
    if (room === undefined) return;
    if (room.known !== null) room.known = { epoch: room.known.epoch, seq: to };
    for (const place of room.places) place.lost(to, reason);
  }

  #reset(name: string, { seq, epoch }: Position): void {
    const room = this.#rooms.get(name);
    if (room === undefined) return;
    const { known, head } = room;
    room.known = { seq, epoch };
    // While it catches up, there is another epoch between it and the broker.
    if (known?.epoch === head?.epoch) room.head = room.known;
    for (const place of room.places) place.reset(room.known);
  }

  #room(name: string): OwnedRoom {
    let room = this.#rooms.get(name);
    if (room === undefined) {
      room = {
        name,
        places: new Set(),
        known: null,
        head: null,
        answered: null,
        counted: null,
        ended: null,
        settling: null,
        next: null,
      };
      this.#rooms.set(name, room);
    }
    return room;
  }
}

/** The broker delivers from here on to all: nobody may miss what another has had. */
function lowest({ places }: OwnedRoom, { epoch, seq }: Position): Position {
  let least = seq;
  for (const place of places) if (place.epoch === epoch) least = Math.min(least, place.sent);
  return { epoch, seq: least };
}
