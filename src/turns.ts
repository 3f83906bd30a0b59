/**
 * Whose input is handled next: the time that what a peer sends takes from the event loop, metered
 * and handed out, so that no peer, and no number of them, keeps the loop from the others. It is to
 * what comes in what the slices of `room/fan-out.ts` are to what goes out.
 *
 * What it bounds. A turn of the loop spends at most `TURN_MS` on the input of heavy peers and
 * `LIGHT_MS` on all input, and one item more. A peer is light while it has taken less than
 * `BURST_MS` beyond `SHARE` of the time that passes; light peers go first. Within that, input is
 * handled where it arrives. What does not fit is held and waits in a round, a `QUANTUM_MS` each
 * time, so that nothing that has fewer waits for something that has more. While there is time left
 * in a turn a heavy peer gets it: alone it is as fast as the server is.
 *
 * V8: a peer that waits longer than `PATIENCE_MS` for its turn is told so by `starved`. V13: time in
 * which the server itself stood still is not counted.
 *
 * Not here: what an item is (`Work`), the clock of the fan-out, rates (`token-bucket.ts`).
 */
import { nowMs, setImmediate } from './time.js';

/** Of one turn of the loop, in milliseconds: for the input of heavy peers. */
export const TURN_MS = 5;
/** Of one turn of the loop, in milliseconds: for all input, light peers' too. */
export const LIGHT_MS = 15;
/** What a peer that waits is given at once, in milliseconds, while others wait as well. */
export const QUANTUM_MS = 1;
/** Loop time a peer may take at once and be light, in milliseconds. */
export const BURST_MS = 5;
/** Loop time a peer may take for good and be light, of all there is. */
const SHARE = 0.02;
/** More debt than this is forgiven: a peer that stops being heavy is light again in 5 s. */
const MAX_DEBT_MS = 100 + BURST_MS;
/** How long a peer may wait for its turn, in milliseconds. */
export const PATIENCE_MS = 5000;
/** What a turn of the loop counts for at most in that: longer is a stand-still of the server's. */
const MAX_TURN_MS = 250;

/** What a peer has sent, as items: small things that are done one after another. */
export interface Work {
  /** Does one item; true when there are more. Must not throw, and does nothing when there is none. */
  step(): boolean;
  /** Something is left that has to wait for its turn: nothing more should be read meanwhile. */
  held(): void;
  /** Nothing is left: more may be read. */
  released(): void;
  /** It has waited for too long, and its share has ended. */
  starved(): void;
}

/** One peer's part in the turns. */
export class Share {
  readonly #turns: Turns;
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

  /** Only for `Turns`. */
  isLight(now: number): boolean {
    return this.#debtAt(now) < BURST_MS;
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
  /** Waiting for their turn, the longest first; a Set keeps each once. */
  readonly #light = new Set<Share>();
  readonly #heavy = new Set<Share>();
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
    const isLight = share.isLight(now);
    if (this.#mayRun(isLight)) this.#serve(share, now, this.#allowed(isLight));
    else this.#wait(share, isLight);
  }

  /** Only for `Share`. */
  forget(share: Share): void {
    if (!this.#light.delete(share)) this.#heavy.delete(share);
  }

  #mayRun(isLight: boolean): boolean {
    // Those that wait go first in the next turn, so that who comes now takes nothing from them.
    if (isLight) return this.#spentMs < LIGHT_MS;
    return this.#heavy.size + this.#light.size === 0 && this.#spentMs < TURN_MS;
  }

  /** How long whoever is served now may go on. */
  #allowed(isLight: boolean): number {
    const left = TURN_MS - this.#spentMs;
    if (this.#heavy.size + this.#light.size === 0 && left > QUANTUM_MS) return left;
    return isLight ? QUANTUM_MS : Math.min(QUANTUM_MS, left);
  }

  #serve(share: Share, started: number, allowedMs: number): void {
    let now = started;
    let isMore: boolean;
    share.isServing = true;
    do {
      isMore = share.work.step();
      now = nowMs();
    } while (isMore && now - started < allowedMs && !share.hasEnded);
    share.isServing = false;
    share.charge(now - started, now);
    this.#spentMs += now - started;
    if (this.#spentMs >= QUANTUM_MS) this.#schedule();
    if (share.hasEnded) return;
    if (isMore) this.#wait(share, share.isLight(now));
    else share.hold(false);
  }

  #wait(share: Share, isLight: boolean): void {
    share.waitsSince = this.#clock;
    (isLight ? this.#light : this.#heavy).add(share);
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
    if (this.#light.size + this.#heavy.size === 0) {
      this.#turnAt = 0;
      return;
    }
    const now = nowMs();
    if (this.#turnAt > 0) this.#clock += Math.min(MAX_TURN_MS, now - this.#turnAt);
    this.#turnAt = now;
    this.#round(this.#light, LIGHT_MS);
    this.#round(this.#heavy, TURN_MS);
    this.#starve(this.#light);
    this.#starve(this.#heavy);
    if (this.#light.size + this.#heavy.size > 0) this.#schedule();
  }

  #round(waiting: Set<Share>, budgetMs: number): void {
    // Whoever is put back while this goes on comes last, and is met again.
    for (const share of waiting) {
      if (this.#spentMs >= budgetMs) return;
      waiting.delete(share);
      this.#serve(share, nowMs(), QUANTUM_MS);
    }
  }

  #starve(waiting: Set<Share>): void {
    for (const share of waiting) {
      if (this.#clock - share.waitsSince < PATIENCE_MS) return;
      share.end();
      share.work.starved();
    }
  }
}
