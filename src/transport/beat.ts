/**
 * Heartbeat schedule of a server: checks every peer once per round, spread over the whole round.
 * Thousands of peers may connect or be idle together; checked at once they would block the loop, and all
 * answer at once.
 *
 * V13: no peer is checked while the server cannot know what it has sent.
 *
 * Not here: the check (`heartbeat.ts`).
 */
import type { LoopClock } from '../loop-clock.js';
import { survive } from '../survived.js';
import { clearInterval, nowMs, setImmediate, setInterval } from '../time.js';

/** Longest round, and the interval between its parts, in milliseconds. */
const ROUND_MS = 500;
const PART_MS = 25;
/** Maximum milliseconds per event loop turn. */
export const SLICE_MS = 0.5;
/** Checks between two looks at the clock: each takes a microsecond, or ten with a ping. */
const LOOKS = 16;

/** A peer. `now` is in loop clock milliseconds. */
export interface Peer {
  heartbeat(intervalMs: number, now: number): void;
}

export class Beat {
  readonly #clock: LoopClock;
  readonly #intervalMs: number;
  readonly #peers = new Set<Peer>();
  #round: Iterator<Peer> = this.#peers.values();
  /** Parts per round. */
  readonly #parts: number = 1;
  /** Peers due, multiplied by `#parts`. */
  #due = 0;
  #isScheduled = false;
  readonly #timer: NodeJS.Timeout | undefined;

  /** `intervalMs` is the time between heartbeats; 0 switches them off. */
  constructor(clock: LoopClock, intervalMs: number) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
    if (intervalMs === 0) return;
    const roundMs = Math.min(ROUND_MS, Math.max(10, intervalMs / 10));
    this.#parts = Math.max(1, roundMs / PART_MS);
    this.#timer = setInterval(() => this.#part(), roundMs / this.#parts).unref();
  }

  add(peer: Peer): void {
    this.#peers.add(peer);
  }

  delete(peer: Peer): void {
    this.#peers.delete(peer);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#peers.clear();
  }

  #part(): void {
    if (!this.#clock.mayJudge) return;
    const { size } = this.#peers;
    this.#due = Math.min(size * this.#parts, this.#due + size);
    if (!this.#isScheduled) this.#slice();
  }

  #slice(): void {
    this.#isScheduled = false;
    const end = nowMs() + SLICE_MS;
    do {
      // Peers not checked now are checked in the next part.
      if (this.#due < this.#parts || !this.#clock.mayJudge) return;
      const now = this.#clock.now();
      for (let n = 0; n < LOOKS && this.#due >= this.#parts; n += 1) this.#lookAtNext(now);
    } while (nowMs() < end);
    this.#isScheduled = true;
    setImmediate(() => this.#slice());
  }

  #lookAtNext(now: number): void {
    this.#due -= this.#parts;
    let next = this.#round.next();
    if (next.done) {
      this.#round = this.#peers.values();
      next = this.#round.next();
    }
    try {
      next.value?.heartbeat(this.#intervalMs, now);
    } catch (error) {
      survive(error);
    }
  }
}
