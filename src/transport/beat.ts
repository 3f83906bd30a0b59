/**
 * When each peer of a server is looked at, and pinged where that is due: every one once a round, and the
 * peers of a round one after another all through it. Thousands are silent, or connect, at the same time;
 * looked at together they would hold the loop, and answer together.
 *
 * V13: nobody is looked at while the server cannot know what has come from them.
 *
 * Not here: what a look finds (`heartbeat.ts`).
 */
import type { LoopClock } from '../loop-clock.js';
import { survive } from '../survived.js';
import { clearInterval, nowMs, setImmediate, setInterval } from '../time.js';

/** Most that a round takes, in milliseconds, and how often peers of it are looked at. */
const ROUND_MS = 500;
const PART_MS = 25;
/** Of one turn of the loop, in milliseconds. */
export const SLICE_MS = 0.5;
/** Looks between two at the clock: each takes a microsecond, or ten with a ping. */
const LOOKS = 16;

/** A peer; `now` is of the clock of the loop. */
export interface Peer {
  heartbeat(intervalMs: number, now: number): void;
}

export class Beat {
  readonly #clock: LoopClock;
  readonly #intervalMs: number;
  readonly #peers = new Set<Peer>();
  #round: Iterator<Peer> = this.#peers.values();
  /** Parts of a round. */
  readonly #parts: number = 1;
  /** Peers to be looked at, each as so many as the round has parts. */
  #due = 0;
  #isScheduled = false;
  readonly #timer: NodeJS.Timeout | undefined;

  /** `intervalMs`: between heartbeats; 0 switches them off. */
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
      // Who could not be looked at now is in the next part.
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
