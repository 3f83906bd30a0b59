/**
 * Owns: the metrics of the lock module, in typed arrays, and the bound on their number (V9): 16
 * lock classes and 64 sites, then `other`. Not here: a metrics library; `read` returns plain rows.
 */

import { nowMs } from '../time.js';
import type { List } from './list.js';
import type { LockNode, Wait } from './nodes.js';
import type { LockHistogram, LockMetrics, LockMetricsRow, LockResult, Mode } from './types.js';

const CLASSES = 16;
const SITES = 64;
const OTHER = 'other';

const BUCKETS_MS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1, 2.5, 10, 100, 1e3, 1e4, 3e4];
const CELLS = BUCKETS_MS.length + 1;
/** Upper bounds of the buckets of both histograms, in seconds. */
export const BUCKETS: readonly number[] = BUCKETS_MS.map((ms) => ms / 1000);

const RESULTS = ['immediate', 'waited', 'timeout', 'aborted', 'closed', 'deadlock'] as const;
const WAITED: Record<LockResult, number> = {
  immediate: 0,
  waited: 1,
  timeout: 2,
  aborted: 3,
  closed: 4,
  deadlock: 5,
};
const ROWS = (CLASSES + 1) * 2;

class Histograms {
  readonly #cells = new Float64Array(ROWS * CELLS);
  readonly #sums = new Float64Array(ROWS);

  observe(row: number, ms: number): void {
    let cell = 0;
    while (cell < BUCKETS_MS.length && ms > (BUCKETS_MS[cell] as number)) cell += 1;
    this.#cells[row * CELLS + cell]! += 1;
    this.#sums[row]! += ms;
  }

  /** Includes `zeros` additional values of 0. */
  read(row: number, zeros: number): LockHistogram {
    let count = zeros;
    const cumulative = BUCKETS_MS.map((_, cell) => {
      count += this.#cells[row * CELLS + cell] as number;
      return count;
    });
    count += this.#cells[row * CELLS + BUCKETS_MS.length] as number;
    return { cumulative, count, sum: (this.#sums[row] as number) / 1000 };
  }
}

/** Assigns numbers to names in order of first use; all names above the limit share the last number. */
class Names {
  readonly #numbers = new Map<string, number>();
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  number(name: string): number {
    if (name === OTHER) return this.#most;
    const known = this.#numbers.get(name);
    if (known !== undefined) return known;
    const number = this.#numbers.size;
    if (number === this.#most) return number;
    this.#numbers.set(name, number);
    return number;
  }

  list(): string[] {
    return [...this.#numbers.keys(), OTHER];
  }
}

export class LockStats {
  readonly #classes = new Names(CLASSES);
  readonly #sites = new Names(SITES);
  readonly #holds = new Histograms();
  readonly #waits = new Histograms();
  readonly #results = new Float64Array(ROWS * RESULTS.length);
  readonly #blockedMs = new Float64Array((CLASSES + 1) * (SITES + 1));

  /** The slot of a lock class, for the other methods. */
  slot(name: string): number {
    return this.#classes.number(name);
  }

  had(slot: number, mode: Mode): void {
    this.#results[row(slot, mode) * RESULTS.length]! += 1;
  }

  held(slot: number, mode: Mode, ms: number): void {
    this.#holds.observe(row(slot, mode), ms);
  }

  waited(slot: number, mode: Mode, ms: number, result: LockResult): void {
    this.#waits.observe(row(slot, mode), ms);
    this.refused(slot, mode, result);
  }

  refused(slot: number, mode: Mode, result: LockResult): void {
    this.#results[row(slot, mode) * RESULTS.length + WAITED[result]]! += 1;
  }

  /** Charges the waiting time of others to the site that made them wait. */
  blocked(slot: number, site: string, ms: number): void {
    if (ms > 0) this.#blockedMs[slot * (SITES + 1) + this.#sites.number(site)]! += ms;
  }

  /** All rows, with the current holds and waits. */
  read(locks: List<LockNode>, waits: Iterable<Wait>): Pick<LockMetrics, 'locks' | 'blocked'> {
    const now = nowMs();
    const holds = new Gauges();
    const waiting = new Gauges();
    for (let lock = locks.first; lock !== null; lock = lock.next) {
      for (let hold = lock.holders.first; hold !== null; hold = hold.next) {
        holds.count(row(lock.slot, hold.mode), now - (hold.since ?? now));
      }
    }
    for (const { on, mode, since } of waits) {
      if (on.kind === 'lock' && mode !== null) waiting.count(row(on.slot, mode), now - since);
    }
    const used = this.#classes.list();
    const rows = used.flatMap((lock, i) => {
      const slot = i === used.length - 1 ? CLASSES : i;
      return (['read', 'write'] as const).map((mode): LockMetricsRow => {
        const at = row(slot, mode);
        const acquisitions = {} as Record<LockResult, number>;
        RESULTS.forEach((result, n) => {
          acquisitions[result] = this.#results[at * RESULTS.length + n] as number;
        });
        return {
          lock,
          mode,
          wait: this.#waits.read(at, acquisitions.immediate),
          hold: this.#holds.read(at, 0),
          acquisitions,
          waiters: waiting.numbers[at] as number,
          holders: holds.numbers[at] as number,
          oldestWaitSeconds: (waiting.oldestMs[at] as number) / 1000,
          oldestHoldSeconds: (holds.oldestMs[at] as number) / 1000,
        };
      });
    });
    return { locks: rows, blocked: this.#readBlocked(used) };
  }

  #readBlocked(classes: readonly string[]): LockMetrics['blocked'] {
    const sites = this.#sites.list();
    return classes.flatMap((lock, i) => {
      const slot = i === classes.length - 1 ? CLASSES : i;
      return sites.flatMap((site, j) => {
        const number = j === sites.length - 1 ? SITES : j;
        const ms = this.#blockedMs[slot * (SITES + 1) + number] as number;
        return ms > 0 ? [{ lock, site, seconds: ms / 1000 }] : [];
      });
    });
  }
}

class Gauges {
  readonly numbers = new Float64Array(ROWS);
  readonly oldestMs = new Float64Array(ROWS);

  count(at: number, ageMs: number): void {
    this.numbers[at]! += 1;
    if (ageMs > (this.oldestMs[at] as number)) this.oldestMs[at] = ageMs;
  }
}

function row(slot: number, mode: Mode): number {
  return slot * 2 + (mode === 'write' ? 1 : 0);
}
