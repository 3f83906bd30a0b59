/**
 * Whose input is handled next: the time that what a peer sends takes from the event loop, metered
 * and handed out, so that no peer, and no number of them, keeps the loop from the others. It is to
 * what comes in what the slices of `room/fan-out.ts` are to what goes out.
 *
 * What it bounds. A turn of the loop spends at most `TURN_MS` on the input of heavy peers and
 * `LIGHT_MS` on all input, and one item more. What a peer has taken beyond `SHARE` of the time that
 * passes is its debt; with what its waiting bytes may take that is its level (`LEVELS_MS`), and with
 * `BURST_MS` or more of it, it is heavy. The lowest level goes first (a multilevel feedback queue),
 * so that a peer that says little does not wait for a crowd of peers that have only begun to flood,
 * or that all send their first large message at once. Within that, input is handled where it
 * arrives. What does not fit is held and waits in a round, a quantum each time. While there is time
 * left in a turn a heavy peer gets it: alone it is as fast as the server is.
 *
 * V8: a peer that waits longer than `PATIENCE_MS` for its turn is told so by `starved`. V13: time in
 * which the server itself stood still is not counted.
 *
 * Not here: what an item is (`Work`), the clock of the fan-out, rates (`token-bucket.ts`).
 */
import { Line } from './line.js';
import { survive } from './survived.js';
import { nowMs, setImmediate } from './time.js';

/** Of one turn of the loop, in milliseconds: for the input of heavy peers. */
export const TURN_MS = 3;
/** Of one turn of the loop, in milliseconds: for all input, light peers' too. */
export const LIGHT_MS = 5;
/** What a peer that waits is given at once, in milliseconds, while others wait as well; most. */
export const QUANTUM_MS = 1;
/** Loop time a peer may take at once and be light, in milliseconds. */
export const BURST_MS = 5;
/** A peer with less debt than this is at this level or below, in milliseconds; the last is heavy. */
const LEVELS_MS = [0.25, 0.5, 1, 2, BURST_MS, Number.POSITIVE_INFINITY] as const;
/** The level of heavy peers; those of light ones are below. */
const HEAVY = LEVELS_MS.length - 1;
/**
 * What an item is charged with at most, in milliseconds. One that takes longer has more often met the
 * compiler, the collector of garbage or another process than been large, and a peer must not be
 * heavy for that; who sends large ones time and again is soon heavy all the same.
 */
const MAX_CHARGE_MS = 2;
/** Loop time a peer may take for good and be light, of all there is. */
const SHARE = 0.02;
/** More debt than this is forgiven: a peer that stops being heavy is light again in 5 s. */
const MAX_DEBT_MS = 100 + BURST_MS;
/**
 * What a byte that waits is taken to need, in milliseconds, before it has shown what it does: 64 KiB
 * are 1.3 ms. Small commands and JSON of many keys take 10 to 40 ns a byte.
 */
const BYTE_MS = 20e-6;
/** How long a peer may wait for its turn, in milliseconds. */
export const PATIENCE_MS = 5000;
/** What a turn of the loop counts for at most in that: longer is a stand-still of the server's. */
const MAX_TURN_MS = 250;

/** What a peer has sent, as items: small things that are done one after another. */
export interface Work {
  /** Read and not handled, in bytes; 0 where that says nothing of how long it will take. */
  readonly waitingBytes: number;
  /** Does one item; true when there are more. Does nothing when there is none. */
  step(): boolean;
  /** Something is left that has to wait for its turn: nothing more should be read meanwhile. */
  held(): void;
  /** Nothing is left: more may be read. */
  released(): void;
  /** It has waited for too long, and its share has ended. */
  starved(): void;
  /** An item has thrown, and its share has ended. */
  failed(): void;
}

/** One peer's part in the turns. */
export class Share {
  readonly #turns: Turns;
  /** Among those that wait. */
  line: unknown = null;
  before: Share | null = null;
  after: Share | null = null;
  /** Loop time taken beyond its share, in milliseconds, at `#at`. */
  #debtMs = 0;
  #at = 0;
  /** Only for `Turns`: when it was last served or began to wait, on the clock of the turns. */
  waitsSince = 0;
  /** Only for `Turns`: it is in the middle of its items, which may end it or bring more. */
  isServing = false;
  #isHeld = false;
  #hasEnded = false;

  constructor(
    turns: Turns,
    readonly work: Work,
  ) {
    this.#turns = turns;
  }

  /** Something is left that waits for its turn. */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** There are items to do: does them as far as the turn allows; the others wait. */
  run(): void {
    if (!this.#isHeld && !this.isServing && !this.#hasEnded) this.#turns.run(this);
  }

  /** Nothing of it is done any more. */
  end(): void {
    this.#hasEnded = true;
    this.#isHeld = false;
    this.#turns.forget(this);
  }

  /** Only for `Turns`: who goes first; `HEAVY` is the last. */
  levelAt(now: number): number {
    const debt = this.#debtAt(now);
    if (debt >= BURST_MS) return HEAVY;
    // Bytes alone make nobody heavy.
    const ms = debt + this.work.waitingBytes * BYTE_MS;
    let level = 0;
    while (level < HEAVY - 1 && ms >= (LEVELS_MS[level] as number)) level += 1;
    return level;
  }

  /** Only for `Turns`: it has taken `ms` until `now`. */
  charge(ms: number, now: number): void {
    this.#debtMs = Math.min(MAX_DEBT_MS, this.#debtAt(now) + ms);
    this.#at = now;
  }

  /** Only for `Turns`: whether it has items that wait, told to its work when that changes. */
  hold(isHeld: boolean): void {
    if (this.#isHeld === isHeld) return;
    this.#isHeld = isHeld;
    if (isHeld) this.work.held();
    else this.work.released();
  }

  #debtAt(now: number): number {
    return Math.max(0, this.#debtMs - (now - this.#at) * SHARE);
  }
}

export class Turns {
  /** Waiting for their turn by level, the longest first. */
  readonly #waiting = Array.from({ length: HEAVY + 1 }, () => new Line<Share>());
  #waitingCount = 0;
  /** Milliseconds spent on input in this turn, or since the last in which it was worth a look. */
  #spentMs = 0;
  #isScheduled = false;
  /** Milliseconds as the turns have seen them while somebody waited. */
  #clock = 0;
  #turnAt = 0;
  readonly #next = () => this.#turn();

  share(work: Work): Share {
    return new Share(this, work);
  }

  /** Only for `Share`. */
  run(share: Share): void {
    const now = nowMs();
    const level = share.levelAt(now);
    if (this.#mayRun(level)) this.#serve(share, now, this.#allowed(level));
    else this.#wait(share, level);
  }

  /** Only for `Share`. */
  forget(share: Share): void {
    for (const waiting of this.#waiting) if (this.#take(share, waiting)) return;
  }

  #take(share: Share, waiting: Line<Share>): boolean {
    if (!waiting.delete(share)) return false;
    this.#waitingCount -= 1;
    return true;
  }

  /** Those that wait at the same level or a lower one go first, in the next turn. */
  #mayRun(level: number): boolean {
    if (this.#spentMs >= (level < HEAVY ? LIGHT_MS : TURN_MS)) return false;
    if (this.#waitingCount === 0) return true;
    for (let i = 0; i <= level; i += 1) {
      if ((this.#waiting[i] as Line<Share>).size > 0) return false;
    }
    return true;
  }

  /** How long whoever is served now may go on. */
  #allowed(level: number): number {
    const left = TURN_MS - this.#spentMs;
    if (this.#waitingCount === 0 && left > QUANTUM_MS) return left;
    return level < HEAVY ? quantumAt(level) : Math.min(QUANTUM_MS, left);
  }

  #serve(share: Share, started: number, allowedMs: number): void {
    let now = started;
    let isMore: boolean;
    share.isServing = true;
    let charged = 0;
    do {
      const before = now;
      isMore = this.#step(share);
      now = nowMs();
      charged += Math.min(MAX_CHARGE_MS, now - before);
    } while (isMore && now - started < allowedMs && !share.hasEnded);
    share.isServing = false;
    share.charge(charged, now);
    this.#spentMs += now - started;
    if (this.#spentMs >= QUANTUM_MS) this.#schedule();
    if (share.hasEnded) return;
    if (isMore) this.#wait(share, share.levelAt(now));
    else share.hold(false);
  }

  /** V12: a mistake of ours ends the peer that met it, and nobody else. */
  #step(share: Share): boolean {
    try {
      return share.work.step();
    } catch (error) {
      survive(error);
      share.end();
      share.work.failed();
      return false;
    }
  }

  #wait(share: Share, level: number): void {
    share.waitsSince = this.#clock;
    (this.#waiting[level] as Line<Share>).add(share);
    this.#waitingCount += 1;
    this.#schedule();
    share.hold(true);
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#next);
  }

  /** A turn of the loop has begun since the last, and it is now time for those who wait. */
  #turn(): void {
    this.#isScheduled = false;
    this.#spentMs = 0;
    if (this.#waitingCount === 0) {
      this.#turnAt = 0;
      return;
    }
    const now = nowMs();
    if (this.#turnAt > 0) this.#clock += Math.min(MAX_TURN_MS, now - this.#turnAt);
    this.#turnAt = now;
    this.#waiting.forEach((waiting, level) => {
      this.#round(waiting, level, level < HEAVY ? LIGHT_MS : TURN_MS);
    });
    for (const waiting of this.#waiting) this.#starve(waiting);
    if (this.#waitingCount > 0) this.#schedule();
  }

  #round(waiting: Line<Share>, level: number, budgetMs: number): void {
    // Whoever is put back while this goes on comes last, and is met again.
    for (let share = waiting.first; share !== null; share = waiting.first) {
      if (this.#spentMs >= budgetMs) return;
      this.#take(share, waiting);
      this.#serve(share, nowMs(), quantumAt(level));
    }
  }

  #starve(waiting: Line<Share>): void {
    for (let share = waiting.first; share !== null; share = waiting.first) {
      if (this.#clock - share.waitsSince < PATIENCE_MS) return;
      share.end();
      share.work.starved();
    }
  }
}

/** Those with the least debt are many at the start of a flood: each gets as much as leads it to the next level. */
const quantumAt = (level: number): number => Math.min(QUANTUM_MS, LEVELS_MS[level] ?? QUANTUM_MS);
