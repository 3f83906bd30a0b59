/**
 * The owner's end of a link: another worker opens rooms here, publishes to them and receives their
 * messages. Messages that it does not read in time are dropped and announced (V23). Answers are bounded
 * by its own limit on pending requests.
 */
import type { Socket } from 'node:net';
import { Refusal, type RefusalCode } from '../../errors.js';
import { isThenable } from '../../thenable.js';
import type { Broker, LossReason, MaybePromise, Position, Publication, Range } from '../broker.js';
import type { MeshBoard } from './board.js';
import { fromMachine } from './clock.js';
import { type FrameReader, KIND } from './frames.js';
import { Place, type Way } from './guests.js';
import { Link } from './link.js';
import type { Owner } from './owner.js';

/** A rare query, sent as JSON. */
export type Question =
  | { readonly what: 'history'; readonly room: string; readonly range: Range }
  | { readonly what: 'purge'; readonly room: string; readonly through: number }
  /** Answered after everything pending for the room has been sent. */
  | { readonly what: 'settled'; readonly room: string };

const LOSS: Record<LossReason, number> = { broker: 0, node: 1 };

export class Host implements Way {
  readonly #link: Link;
  readonly #owner: Owner;
  readonly #broker: Broker;
  readonly #board: MeshBoard;
  /** Id of the other worker, as it has sent it. */
  #node = '';
  readonly #count: (lost: number) => void;
  readonly #places = new Map<number, Place>();
  readonly #shed = new Set<Place>();
  /** Called once what the place has dropped is announced. */
  readonly #announced = new Map<Place, (() => void)[]>();
  readonly #closing = new AbortController();

  constructor(
    socket: Socket,
    owner: Owner,
    broker: Broker,
    board: MeshBoard,
    count: (lost: number) => void,
    ended: (host: Host) => void,
  ) {
    this.#owner = owner;
    this.#broker = broker;
    this.#board = board;
    this.#count = count;
    this.#link = new Link(socket, {
      frame: (kind, reader) => this.#frame(kind, reader),
      drained: () => this.#catchUp(),
      ended: () => {
        this.#closing.abort(new Error('the link to the worker has ended'));
        for (const place of this.#places.values()) owner.close(place);
        this.#places.clear();
        this.#shed.clear();
        for (const place of this.#announced.keys()) this.#caughtUp(place);
        board.ended(this.#node);
        ended(this);
      },
    });
  }

  get isFull(): boolean {
    return this.#link.isFull;
  }

  /** Bytes queued for the other worker. */
  get bytes(): number {
    return this.#link.bytes;
  }

  opened({ number }: Place, position: Position): void {
    this.#link.begin(KIND.opened).u32(number).position(position).end();
  }

  message({ number }: Place, publication: Publication): void {
    this.#link.begin(KIND.message).u32(number).publication(publication).end();
  }

  lost({ number }: Place, to: number, reason: LossReason): void {
    this.#link.begin(KIND.lost).u32(number).f64(to).byte(LOSS[reason]).end();
  }

  reset({ number }: Place, position: Position, was: Position): void {
    this.#link.begin(KIND.reset).u32(number).position(position).position(was).end();
  }

  shed(place: Place): void {
    this.#shed.add(place);
  }

  count(lost: number): void {
    this.#count(lost);
  }

  /** Flushes the queue and sends nothing afterwards. */
  end(): void {
    this.#link.end();
  }

  destroy(): void {
    this.#link.destroy();
  }

  #catchUp(): void {
    for (const place of this.#shed) {
      if (this.#link.isFull) return;
      this.#shed.delete(place);
      const position = this.#owner.positionOf(place.room);
      if (position !== null && !place.isGone) place.catchUp(position);
      this.#caughtUp(place);
    }
  }

  #caughtUp(place: Place): void {
    for (const resolve of this.#announced.get(place) ?? []) resolve();
    this.#announced.delete(place);
  }

  /** The other worker has what it needs only once its losses have been announced, too. */
  #settled(room: string): MaybePromise<void> {
    const announced = (): MaybePromise<void> => {
      for (const place of this.#shed) {
        if (place.room !== room) continue;
        const one = new Promise<void>((resolve) => {
          const waiting = this.#announced.get(place);
          if (waiting === undefined) this.#announced.set(place, [resolve]);
          else waiting.push(resolve);
        });
        // The room may have been closed and opened again meanwhile.
        return one.then(announced);
      }
    };
    const answer = this.#owner.settled(room);
    return isThenable(answer) ? Promise.resolve(answer).then(announced) : announced();
  }

  #frame(kind: number, reader: FrameReader): void {
    switch (kind) {
      case KIND.open:
        this.#open(reader);
        return;
      case KIND.close:
        this.#close(reader.u32());
        return;
      case KIND.publish:
        this.#publish(reader);
        return;
      case KIND.ask:
        this.#answer(reader.u32(), JSON.parse(reader.rest()) as Question);
        return;
      case KIND.board:
        this.#node = this.#board.hear(reader.rest(), this.#node);
        return;
    }
  }

  #open(reader: FrameReader): void {
    const number = reader.u32();
    const name = reader.text();
    const since = reader.byte() === 1 ? reader.position() : undefined;
    const place = new Place(name, this, number, since);
    this.#places.set(number, place);
    const refuse = (error: unknown) => {
      // The place was closed meanwhile, or the link has ended.
      if (!this.#places.delete(number)) return;
      const { code, message } = refusalOf(error);
      this.#link.begin(KIND.notOpened).u32(number).text(code).rest(message).end();
    };
    settle(() => this.#owner.open(place, since), refuse);
  }

  #close(number: number): void {
    const place = this.#places.get(number);
    if (place === undefined) return;
    this.#places.delete(number);
    this.#shed.delete(place);
    this.#caughtUp(place);
    this.#owner.close(place);
  }

  #publish(reader: FrameReader): void {
    const id = reader.u32();
    const deadline = fromMachine(reader.f64());
    const number = reader.u32();
    const room = number === 0 ? reader.text() : this.#places.get(number)?.room;
    if (room === undefined) {
      this.#refused(id, new Refusal('broker_unavailable', 'The room was refused meanwhile.'));
      return;
    }
    const uid = reader.byte() === 1 ? reader.text() : undefined;
    let answer: MaybePromise<Position>;
    // Does not use `settle`, which would allocate three closures per message.
    try {
      answer = this.#broker.publish(room, reader.payload(), { deadline, uid });
    } catch (error) {
      this.#refused(id, error);
      return;
    }
    if (!isThenable(answer)) this.#accepted(id, answer);
    else {
      Promise.resolve(answer).then(
        (position) => this.#accepted(id, position),
        (error: unknown) => this.#refused(id, error),
      );
    }
  }

  #accepted(id: number, position: Position): void {
    this.#link.begin(KIND.accepted).u32(id).position(position).end();
  }

  #refused(id: number, error: unknown): void {
    const { code, message } = refusalOf(error);
    this.#link.begin(KIND.refused).u32(id).text(code).rest(message).end();
  }

  #answer(id: number, question: Question): void {
    const { signal } = this.#closing;
    const answer = (kind: 0 | 1, value: unknown) =>
      this.#link.begin(KIND.answer).u32(id).byte(kind).rest(JSON.stringify(value)).end();
    settle<unknown>(
      () => this.#ask(question, signal),
      (error) => {
        const { code, message } = refusalOf(error);
        answer(0, { code, message });
      },
      (value) => answer(1, value ?? null),
    );
  }

  #ask(question: Question, signal: AbortSignal): MaybePromise<unknown> {
    const { room } = question;
    switch (question.what) {
      case 'history':
        return this.#broker.history?.(room, question.range, signal);
      case 'purge':
        return this.#broker.purge?.(room, question.through, signal);
      case 'settled':
        return this.#settled(room);
    }
  }
}

/** Passes a synchronous answer on synchronously, so that order is kept. */
function settle<T>(
  ask: () => MaybePromise<T>,
  refuse: (error: unknown) => void,
  pass: (value: T) => void = () => {},
): void {
  let answer: MaybePromise<T>;
  try {
    answer = ask();
  } catch (error) {
    refuse(error);
    return;
  }
  if (isThenable(answer)) Promise.resolve(answer).then(pass, refuse);
  else pass(answer as T);
}

function refusalOf(error: unknown): { code: RefusalCode; message: string } {
  if (error instanceof Refusal) return error;
  return {
    code: 'broker_unavailable',
    message: error instanceof Error ? error.message : String(error),
  };
}
