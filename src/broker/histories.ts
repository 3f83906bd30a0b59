/**
 * The histories of all rooms of a process. Enforces the total byte limit: above it, the room with the
 * oldest latest publish loses its history, not its numbers. Expires entries of rooms that are no longer
 * published to (V3, V18).
 *
 * Not here: the history of one room (`history.ts`).
 */
import { Line } from '../line.js';
import type { HistoryPolicy } from '../options/config.js';
import { clearInterval, nowMs, setInterval } from '../time.js';
import type { Publication } from './broker.js';
import { type Eviction, History, type Kept } from './history.js';

/** Interval of the sweep that expires entries of quiet rooms, in milliseconds. */
const SWEEP_MS = 5000;

export class Histories {
  readonly kept: Kept = {
    messages: 0,
    bytes: 0,
    evicted: { count: 0, bytes: 0, age: 0, total: 0, idle: 0, purge: 0 },
  };
  readonly limit: number;
  /** Histories with at least one entry, least recently published first. */
  readonly #held = new Line<History>();
  /** The shortest `historyMs` of any policy so far. */
  #shortestMs = Number.POSITIVE_INFINITY;
  #sweeper: NodeJS.Timeout | undefined;

  /** `limit`: bytes of all histories together. */
  constructor(limit: number) {
    this.limit = limit;
  }

  /** Rooms with at least one entry. */
  get rooms(): number {
    return this.#held.size;
  }

  /** Creates the history of a room whose next publication is `next`; null if the policy keeps none. */
  open(policy: HistoryPolicy, next = 1): History | null {
    if (policy.historyMessages === 0) return null;
    this.#shortestMs = Math.min(this.#shortestMs, policy.historyMs);
    return new History(policy, this.kept, next);
  }

  /** Applies new bounds. The policy must keep at least one message. */
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

  /** Drops expired entries. */
  expire(history: History): void {
    history.expire(nowMs());
    if (history.length === 0) this.#drop(history);
  }

  /** Drops entries up to the publication `through`, or all. */
  evict(history: History, why: Eviction, through?: number): void {
    history.evict(why, through);
    if (history.length === 0) this.#drop(history);
  }

  /** `append` must not be called afterwards. */
  close(): void {
    this.#held.clear();
    clearInterval(this.#sweeper);
  }

  #sweep(): void {
    const now = nowMs();
    let next: History | null;
    for (let history = this.#held.first; history !== null; history = next) {
      // Rooms published to later expired old entries at that publish; the rest goes at their next
      // publish or at a later sweep.
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
