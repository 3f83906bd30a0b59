/**
 * Resolves the `since` or `last` of a join (V17): the answer is exact, with or without history; a join
 * never gets a silent fresh start.
 *
 * Not here: sending the missed messages (`replays.ts`).
 */
import type { MaybePromise, Position } from '../broker/broker.js';
import type { Recover } from '../protocol/events.js';
import type { Pages } from './pages.js';
import type { Room } from './room.js';
import type { Term } from './term.js';

/** The past messages that a join asks for. */
export interface RecoveryRequest {
  /** All messages after this position, the last the member has. */
  readonly since?: Position | undefined;
  /** This many of the latest messages. */
  readonly last?: number | undefined;
}

interface Answer {
  /** Result for the reply; undefined if the join did not ask. */
  readonly recover?: Recover | undefined;
  /** Local number to start at; everything after it to the end of the room is due to the member. */
  readonly sent: number;
  /** At least part of that can be read. */
  readonly isKept: boolean;
}

export class Recovery {
  readonly #request: RecoveryRequest;
  /** Null where no history is kept. */
  readonly #pages: Pages | null;
  /** Waits until this node has everything other nodes had. Null without other nodes, or once it has. */
  #settled: (() => MaybePromise<void>) | null;
  #settling: Promise<void> | null = null;
  /** Number to look at next, in `#term`. */
  #from = 0;
  #term: Term | null = null;
  /** First wanted publication that is kept; null if none is. */
  #first: number | null = null;

  constructor(
    request: RecoveryRequest,
    pages: Pages | null,
    settled: (() => MaybePromise<void>) | null,
  ) {
    this.#request = request;
    this.#pages = pages;
    this.#settled = settled;
  }

  /**
   * Looks up which of the wanted messages are kept. Returns null if that is known, which holds only
   * until the caller waits; else a promise, after which it must be called again. `mayRead`: the member
   * has the right.
   */
  prepare(room: Room, mayRead: boolean): Promise<void> | null {
    const { seq, term } = room;
    const catchingUp = this.#catchUp(room);
    if (catchingUp !== null) return catchingUp;
    const wanted = this.#wanted(room);
    this.#first = null;
    if (this.#pages === null || !mayRead || wanted > seq) return null;
    if (term !== this.#term) this.#from = 0;
    this.#term = term;
    const found = this.#pages.find(room, Math.max(wanted, this.#from));
    if (found instanceof Promise) {
      return found.then((next) => {
        this.#from = next ?? Number.POSITIVE_INFINITY;
      });
    }
    this.#first = found;
    return null;
  }

  /** Must be called in the same step in which `prepare` returned null. */
  answer(room: Room): Answer {
    const { since, last } = this.#request;
    const { epoch, seq, term } = room;
    const first = this.#first;
    const nothing = { sent: room.last, isKept: false };
    if (last !== undefined) {
      if (first === null) return { recover: { result: 'complete' }, ...nothing };
      // What was no longer kept is not reported as a gap.
      const recover: Recover = { result: 'complete', from: first, to: seq };
      return { recover, sent: term.localOf(first - 1), isKept: true };
    }
    if (since === undefined) return nothing;
    if (since.epoch !== epoch) return { recover: { result: 'epoch_changed' }, ...nothing };
    if (since.seq > seq) return { recover: { result: 'ahead' }, ...nothing };
    if (since.seq === seq) return { recover: { result: 'complete' }, ...nothing };
    const from = since.seq + 1;
    const result = first === from ? 'complete' : 'partial';
    const recover: Recover = { result, from, to: seq };
    return { recover, sent: term.localOf(since.seq), isKept: first !== null };
  }

  /** The position may come from another node and not have reached this one yet: waits for it, once. */
  #catchUp({ epoch, seq }: Room): Promise<void> | null {
    const { since } = this.#request;
    const isHere = since === undefined || (since.epoch === epoch && since.seq <= seq);
    if (isHere || this.#settled === null) return null;
    this.#settling ??= this.#settle(this.#settled);
    return this.#settling;
  }

  /** @throws Refusal if it cannot be known in time, since any answer might be wrong; as a rejection */
  async #settle(settled: () => MaybePromise<void>): Promise<void> {
    await settled();
    this.#settled = null;
  }

  /** The first wanted number; beyond the room if none is wanted. */
  #wanted({ epoch, seq }: Room): number {
    const { since, last } = this.#request;
    if (last !== undefined) return Math.max(1, seq - last + 1);
    return since?.epoch === epoch ? since.seq + 1 : Number.POSITIVE_INFINITY;
  }
}
