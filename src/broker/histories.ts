/**
 * What all rooms of a process keep of their past: the bound of all together, above which the room that
 * is longest without a publish loses its history, not its numbers; and the end of what is too old where
 * nothing is published any more (V3, V18).
 *
 * Not here: what one room keeps (`history.ts`).
 */
import { Line } from '../line.js';
import type { HistoryPolicy } from '../options/config.js';
import { clearInterval, nowMs, setInterval } from '../time.js';
import type { Publication } from './broker.js';
import { type Eviction, History, type Kept } from './history.js';

/** How often rooms that nothing is published to are looked at, in milliseconds. */
const SWEEP_MS = 5000;

export class Histories {
  readonly kept: Kept = {
    messages: 0,
    bytes: 0,
    evicted: { count: 0, bytes: 0, age: 0, total: 0, idle: 0, purge: 0 },
  };
  readonly limit: number;
  /** Those that keep anything, the longest without a publish first. */
  readonly #held = new Line<History>();
  /** Of any that there has been, in milliseconds. */
  #shortestMs = Number.POSITIVE_INFINITY;
  #sweeper: NodeJS.Timeout | undefined;

  /** `limit`: bytes of all together. */
  constructor(limit: number) {
    this.limit = limit;
  }

  /** Rooms that keep anything. */
  get rooms(): number {
    return this.#held.size;
  }

  /** Of a room whose next publication is `next`; null where the policy says that nothing is kept. */
  open(policy: HistoryPolicy, next = 1): History | null {
    if (policy.historyMessages === 0) return null;
    this.#shortestMs = Math.min(this.#shortestMs, policy.historyMs);
    return new History(policy, this.kept, next);
  }

  /** Has other bounds from now on, which are not none. */
  rebound(history: History, policy: HistoryPolicy): void {
    this.#shortestMs = Math.min(this.#shortestMs, policy.historyMs);
    history.rebound(policy, nowMs());
    if (history.length === 0) this.#drop(history);
  }

  append(history: History, publication: Publication): void {
    history.append(publication, nowMs());
    this.#held.delete(history);
    if (history.length > 0) this.#held.add(history);
    this.#sweeper ??= setInterval(() => this.#sweep(), SWEEP_MS).unref();
    for (let idlest = this.#held.first; idlest !== null; idlest = this.#held.first) {
      if (this.kept.bytes <= this.limit) return;
      this.evict(idlest, 'total');
    }
  }

  /** Lets go of what is too old. */
  expire(history: History): void {
    history.expire(nowMs());
    if (history.length === 0) this.#drop(history);
  }

  /** Lets go of everything up to the publication `through`, or of all. */
  evict(history: History, why: Eviction, through?: number): void {
    history.evict(why, through);
    if (history.length === 0) this.#drop(history);
  }

  /** Nothing is to be appended any more. */
  close(): void {
    this.#held.clear();
    clearInterval(this.#sweeper);
  }

  #sweep(): void {
    const now = nowMs();
    let next: History | null;
    for (let history = this.#held.first; history !== null; history = next) {
      // What was published to later than this can have nothing that is too old but what goes at the next.
      if (history.latestAt > now - this.#shortestMs) return;
      next = history.after;
      this.expire(history);
    }
  }

  #drop(history: History): void {
    this.#held.delete(history);
    if (this.#held.size > 0) return;
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }
}
