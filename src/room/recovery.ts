/**
 * What becomes of what a member that joins wants of what was before (V17): answered exactly, with
 * history or without, never with a silent fresh start.
 *
 * Not here: how it gets there (`replays.ts`).
 */
import type { MaybePromise, Position } from '../broker/broker.js';
import type { Recover } from '../protocol/events.js';
import type { Pages } from './pages.js';
import type { Room } from './room.js';
import type { Term } from './term.js';

/** What a member that joins wants of what was before. */
export interface Wish {
  /** Everything after this, which it has had. */
  readonly since?: Position | undefined;
  /** So many of the latest messages. */
  readonly last?: number | undefined;
}

interface Answer {
  /** For the member; undefined where it has not asked. */
  readonly recover?: Recover | undefined;
  /** Where it begins, in local numbers: everything from here to the end of the room is due to it. */
  readonly sent: number;
  /** At least some of that can be read. */
  readonly isKept: boolean;
}

export class Recovery {
  readonly #wish: Wish;
  /** Null where no history is kept. */
  readonly #pages: Pages | null;
  /** Null where there is no other node, or this one has everything that any had. */
  #settled: (() => MaybePromise<void>) | null;
  #settling: Promise<void> | null = null;
  /** Where to look next, in that term. */
  #from = 0;
  #term: Term | null = null;
  /** Number of the first publication of what is wanted that there is. */
  #first: number | null = null;

  constructor(wish: Wish, pages: Pages | null, settled: (() => MaybePromise<void>) | null) {
    this.#wish = wish;
    this.#pages = pages;
    this.#settled = settled;
  }

  /**
   * Looks what there is of what is wanted; null when that is known, as long as nothing is waited for,
   * else a promise, after which it is to be asked again. `mayRead`: the member has the right to it.
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

  /** In the same step as `prepare` has returned null. */
  answer(room: Room): Answer {
    const { since, last } = this.#wish;
    const { epoch, seq, term } = room;
    const first = this.#first;
    const nothing = { sent: room.last, isKept: false };
    if (last !== undefined) {
      if (first === null) return { recover: { result: 'complete' }, ...nothing };
      // What had gone before is no gap.
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

  /** What it has had, from another node, may not have come to this one yet: once, that is waited for. */
  #catchUp({ epoch, seq }: Room): Promise<void> | null {
    const { since } = this.#wish;
    const isHere = since === undefined || (since.epoch === epoch && since.seq <= seq);
    if (isHere || this.#settled === null) return null;
    this.#settling ??= this.#settle(this.#settled);
    return this.#settling;
  }

  /** @throws Refusal where it cannot be known in time: any answer might be wrong then; as a rejection */
  async #settle(settled: () => MaybePromise<void>): Promise<void> {
    await settled();
    this.#settled = null;
  }

  /** The first number that is wanted; beyond the room where nothing is. */
  #wanted({ epoch, seq }: Room): number {
    const { since, last } = this.#wish;
    if (last !== undefined) return Math.max(1, seq - last + 1);
    return since?.epoch === epoch ? since.seq + 1 : Number.POSITIVE_INFINITY;
  }
}
