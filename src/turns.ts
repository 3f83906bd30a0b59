/**
 * Schedules the handling of peers' input. It meters the event loop time that each peer's input takes,
 * so that no peer, and no number of peers, starves the others. It does for input what the time slices
 * of `room/fan-out.ts` do for output.
 *
 * Bounds: one turn of the loop spends at most `TURN_MS` on the input of heavy peers and `LIGHT_MS` on
 * all input, plus one item. A peer's debt is the time it has used beyond `SHARE` of the elapsed time.
 * Debt plus the estimated cost of its waiting bytes gives its level (`LEVELS_MS`); a peer with
 * `BURST_MS` or more of debt is heavy. The lowest level runs first (a multilevel feedback queue),
 * so that a peer that sends little does not wait for a crowd of peers that have only begun to flood,
 * or that all send their first large message at once. Input is handled on arrival as long as it fits;
 * the rest is held and served round-robin, a quantum at a time. Time left in a turn goes to heavy
 * peers: a single heavy peer is as fast as the server.
 *
 * V8: `starved` tells a peer that it has waited longer than `PATIENCE_MS` for its turn. V13: time in
 * which the server itself was blocked does not count.
 *
 * Not here: what an item is (`Work`), the scheduler of the fan-out, rate limits (`token-bucket.ts`).
 */
import { Line } from './line.js';
import { survive } from './survived.js';
import { nowMs, setImmediate } from './time.js';

/** Budget of one turn of the loop for the input of heavy peers, in milliseconds. */
export const TURN_MS = 3;
/** Budget of one turn of the loop for all input, in milliseconds. */
export const LIGHT_MS = 5;
/** Maximum that a waiting peer gets at once while others wait too, in milliseconds. */
export const QUANTUM_MS = 1;
/** Loop time a peer may use at once and stay light, in milliseconds. */
export const BURST_MS = 5;
/** Upper bound of the debt at each level, in milliseconds; the last level is heavy. */
const LEVELS_MS = [0.25, 0.5, 1, 2, BURST_MS, Number.POSITIVE_INFINITY] as const;
/** The level of heavy peers; light peers have lower ones. */
const HEAVY = LEVELS_MS.length - 1;
/**
 * Maximum charge for one item, in milliseconds. An item that takes longer was more often hit by the
 * compiler, the garbage collector or another process than it was large, and must not make its peer
 * heavy. A peer that repeatedly sends large items becomes heavy soon anyway.
 */
const MAX_CHARGE_MS = 2;
/** Fraction of the loop time that a peer may use permanently and stay light. */
const SHARE = 0.02;
/** Debt is capped at this: a peer that stops flooding is light again after 5 s. */
const MAX_DEBT_MS = 100 + BURST_MS;
/**
 * Estimated cost of a waiting byte, in milliseconds, before its real cost is known: 64 KiB are 1.3 ms.
 * Small commands and JSON with many keys take 10 to 40 ns a byte.
 */
const BYTE_MS = 20e-6;
/** How long a peer may wait for its turn, in milliseconds. */
export const PATIENCE_MS = 5000;
/** Maximum that one turn of the loop adds to that wait: a longer turn means that the server was blocked. */
const MAX_TURN_MS = 250;

/** The input of a peer, as items: small units that are handled one after another. */
export interface Work {
  /** Bytes read and not handled; 0 if their number says nothing about the cost. */
  readonly waitingBytes: number;
  /** Handles one item; returns true if there are more. Does nothing without an item. */
  step(): boolean;
  /** Items are left that must wait for their turn: stop reading. */
  held(): void;
  /** No item is left: reading may continue. */
  released(): void;
  /** The peer has waited too long; its share has ended. */
  starved(): void;
  /** An item has thrown; the share has ended. */
  failed(): void;
}

/** The scheduling state of one peer. */
export class Share {
  readonly #turns: Turns;
  /** Links of the `Line` of waiting peers. */
  line: unknown = null;
  before: Share | null = null;
  after: Share | null = null;
  /** Loop time used beyond the peer's share, in milliseconds, as of `#at`. */
  #debtMs = 0;
  #at = 0;
  /** Only for `Turns`: when the peer was last served or began to wait, on the clock of the turns. */
  waitsSince = 0;
  /** Only for `Turns`: its items are being handled, which may end the share or add more items. */
  isServing = false;
  #isHeld = false;
  #hasEnded = false;

  constructor(
    turns: Turns,
    readonly work: Work,
  ) {
    this.#turns = turns;
  }

  /** Items are left that wait for their turn. */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Handles the items as far as the turn allows; the rest waits. */
  run(): void {
    if (!this.#isHeld && !this.isServing && !this.#hasEnded) this.#turns.run(this);
  }

  /** Handles all items at once, whatever the turn: for a peer of which few wait and no more come. */
  finish(): void {
    if (this.#isHeld && !this.isServing) this.#turns.finish(this);
  }

  /** Handles no more of its items. */
  end(): void {
    this.#hasEnded = true;
    this.#isHeld = false;
    this.#turns.forget(this);
  }

  /** Only for `Turns`: the peer's priority, 0 first, `HEAVY` last. */
  levelAt(now: number): number {
    const debt = this.#debtAt(now);
    if (debt >= BURST_MS) return HEAVY;
    // Waiting bytes alone do not make a peer heavy.
    const ms = debt + this.work.waitingBytes * BYTE_MS;
    let level = 0;
    while (level < HEAVY - 1 && ms >= (LEVELS_MS[level] as number)) level += 1;
    return level;
  }

  /** Only for `Turns`: adds `ms` of loop time, used until `now`. */
  charge(ms: number, now: number): void {
    this.#debtMs = Math.min(MAX_DEBT_MS, this.#debtAt(now) + ms);
    this.#at = now;
  }

  /** Only for `Turns`: sets whether items wait, and notifies the work on a change. */
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
  /** Waiting peers by level, longest waiting first. */
  readonly #waiting = Array.from({ length: HEAVY + 1 }, () => new Line<Share>());
  #waitingCount = 0;
  /** Milliseconds spent on input since the last scheduled turn. */
  #spentMs = 0;
  #isScheduled = false;
  /** Milliseconds that have passed while at least one peer waited. */
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

  /** Only for `Share`. */
  finish(share: Share): void {
    this.forget(share);
    this.#serve(share, nowMs(), Number.POSITIVE_INFINITY);
  }

  #take(share: Share, waiting: Line<Share>): boolean {
    if (!waiting.delete(share)) return false;
    this.#waitingCount -= 1;
    return true;
  }

  /** False if a peer waits at the same or a lower level: that one goes first, in the next turn. */
  #mayRun(level: number): boolean {
    if (this.#spentMs >= (level < HEAVY ? LIGHT_MS : TURN_MS)) return false;
    if (this.#waitingCount === 0) return true;
    for (let i = 0; i <= level; i += 1) {
      if ((this.#waiting[i] as Line<Share>).size > 0) return false;
    }
    return true;
  }

  /** How long the peer that is served now may continue, in milliseconds. */
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

  /** V12: an error of ours ends only the peer whose item caused it. */
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

  /** Runs in the next turn of the loop and serves the waiting peers. */
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
    // A peer that is put back during this loop goes last and is served again.
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

/** At the lowest levels a flood has many peers: each gets just enough to reach the next level. */
const quantumAt = (level: number): number => Math.min(QUANTUM_MS, LEVELS_MS[level] ?? QUANTUM_MS);
