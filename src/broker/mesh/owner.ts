/**
 * The rooms of this worker's slot, between the broker that orders them and their subscribers, here and
 * at other workers. It subscribes at the broker once per room, so a message enters the machine once.
 * V2: no locks; each `Place` is notified in the turn in which the broker notifies. V8: a pending call
 * for a room is aborted when its last subscriber leaves.
 *
 * V4, V20: a room has one stream, and no subscriber is ahead of it in another epoch. A subscriber
 * without a position starts at the stream's position, even if that is behind the broker, and its answer
 * is the position where it started, even if the stream has moved on. A subscriber from another epoch
 * gets a reset to the stream's.
 *
 * Not here: what each subscriber is sent (`guests.ts`), the links (`host.ts`).
 */
import { isThenable } from '../../thenable.js';
import type { Broker, LossReason, MaybePromise, Position, Publication } from '../broker.js';
import type { Place } from './guests.js';

interface OwnedRoom {
  readonly name: string;
  readonly places: Set<Place>;
  /** The stream's position: what the broker delivered or reported last. Null until known. */
  known: Position | null;
  /** The broker's position in its latest answer. */
  head: Position | null;
  /** Settles when the latest subscription at the broker is answered; null if none is pending. */
  answered: Promise<unknown> | null;
  /** Position of the latest publication counted. */
  counted: Position | null;
  /** Aborts pending broker calls when the last subscriber leaves. Null until a call is asynchronous. */
  ended: AbortController | null;
  /** The pending `settled` call, and the next one, shared by all callers that came since. */
  settling: Promise<void> | null;
  next: Promise<void> | null;
}

export class Owner {
  readonly #broker: Broker;
  readonly #rooms = new Map<string, OwnedRoom>();
  readonly #closing = new AbortController();
  /** Reused until a broker call is asynchronous. */
  #unused = new AbortController();
  /** Publications received from the broker. */
  published = 0;

  constructor(broker: Broker) {
    this.#broker = broker;
    broker.onDeliver((publication) => this.#deliver(publication));
    broker.onLost((room, to, reason) => this.#lost(room, to, reason));
    broker.onReset((room, position) => this.#reset(room, position));
  }

  /** Rooms with a subscriber. */
  get rooms(): number {
    return this.#rooms.size;
  }

  /** The stream's position of a room; null if unknown. */
  positionOf(room: string): Position | null {
    return this.#rooms.get(room)?.known ?? null;
  }

  /**
   * Subscribes a place to its room, from now on or after `since`. The place itself also gets the
   * answer.
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
    // Only the broker knows which of the two epochs is newer.
    if (room.answered !== null) return room.answered.then(() => this.#move(room, place, since));
    return this.#move(room, place, since);
  }

  close(place: Place): void {
    if (place.isGone) return;
    place.isGone = true;
    const room = this.#rooms.get(place.room);
    if (!room?.places.delete(place) || room.places.size > 0) return;
    this.#rooms.delete(room.name);
    room.ended?.abort(new Error('the room has no subscriber any more'));
    const { signal } = this.#closing;
    // Later deliveries for the room are ignored; the next subscriber subscribes anew.
    const ignore = () => {};
    try {
      const answer = this.#broker.unsubscribe(room.name, signal);
      if (isThenable(answer)) Promise.resolve(answer).catch(ignore);
    } catch {
      ignore();
    }
  }

  /**
   * Resolves when everything published before the call has been sent, or the room has no subscriber any
   * more. However many callers wait, at most one broker call per room is pending and one more follows
   * it.
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

  /** Aborts all pending broker calls. */
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

  /** Subscribes at the broker after `since`, or at its current position. */
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

  /** Moves a place and the stream, which are in different epochs, to the broker's epoch. */
  #move(room: OwnedRoom, place: Place, since: Position): MaybePromise<Position> {
    const { known, head } = room;
    if (place.isGone) return since;
    if (known === null || head === null) return this.#subscribe(room, place, since);
    const isCurrent = known.epoch === head.epoch;
    const from = isCurrent ? known : lowest(room, head);
    place.opened(from);
    for (const each of room.places) each.reset(from);
    return isCurrent ? known : this.#subscribe(room, place, from);
  }

  #opened(place: Place, position: Position): Position {
    // If the place has left meanwhile, the room was dropped or has other subscribers.
    if (!place.isGone) place.opened(position);
    // Deliveries may have overtaken the broker's answer.
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
    // Publications redelivered for a resuming subscriber were counted before.
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
    // While the stream catches up, other epochs may lie between it and the broker.
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

/** The lowest position of all subscribers in the epoch: the broker redelivers from there to all. */
function lowest({ places }: OwnedRoom, { epoch, seq }: Position): Position {
  let least = seq;
  for (const place of places) if (place.epoch === epoch) least = Math.min(least, place.sent);
  return { epoch, seq: least };
}
