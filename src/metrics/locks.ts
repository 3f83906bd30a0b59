/**
 * What the lock module knows, in the rows of the catalogue. Keeps V9: classes of locks and places in
 * the code that the catalogue does not name, such as those of whoever uses the lock module beside a
 * server, are counted together as `other`.
 */
import type { LockHistogram, LockMetrics } from '../lock/index.js';
import {
  CATALOGUE,
  LOCK_MODES,
  LOCK_REPORTS,
  LOCK_RESULTS,
  LOCK_SITES,
  LOCKS,
} from './catalogue.js';
import { HistogramCells } from './cells.js';

const ROWS = (LOCKS.length + 1) * LOCK_MODES.length;
const SITE_COLUMNS = LOCK_SITES.length + 1;

/** Each by lock, then by its second label. */
export interface LockValues {
  readonly lockHoldSeconds: HistogramCells;
  readonly lockWaitSeconds: HistogramCells;
  readonly lockAcquisitions: Float64Array;
  readonly lockBlockedSeconds: Float64Array;
  readonly lockHolders: Float64Array;
  readonly lockWaiters: Float64Array;
  readonly lockOldestHoldSeconds: Float64Array;
  readonly lockOldestWaitSeconds: Float64Array;
  readonly lockReports: Float64Array;
  readonly lockDeadlockedTasks: number;
}

export function lockValues({ locks, blocked, reports, deadlockedTasks }: LockMetrics): LockValues {
  const values: LockValues = {
    lockHoldSeconds: new HistogramCells(CATALOGUE.lockHoldSeconds.buckets, ROWS),
    lockWaitSeconds: new HistogramCells(CATALOGUE.lockWaitSeconds.buckets, ROWS),
    lockAcquisitions: new Float64Array(ROWS * LOCK_RESULTS.length),
    lockBlockedSeconds: new Float64Array((LOCKS.length + 1) * SITE_COLUMNS),
    lockHolders: new Float64Array(ROWS),
    lockWaiters: new Float64Array(ROWS),
    lockOldestHoldSeconds: new Float64Array(ROWS),
    lockOldestWaitSeconds: new Float64Array(ROWS),
    lockReports: Float64Array.from(LOCK_REPORTS, (kind) => reports[kind]),
    lockDeadlockedTasks: deadlockedTasks,
  };
  for (const lock of locks) {
    const row = placeOf(LOCKS, lock.lock) * LOCK_MODES.length + LOCK_MODES.indexOf(lock.mode);
    add(values.lockHoldSeconds, row, lock.hold);
    add(values.lockWaitSeconds, row, lock.wait);
    LOCK_RESULTS.forEach((result, i) => {
      values.lockAcquisitions[row * LOCK_RESULTS.length + i]! += lock.acquisitions[result];
    });
    values.lockHolders[row]! += lock.holders;
    values.lockWaiters[row]! += lock.waiters;
    raise(values.lockOldestHoldSeconds, row, lock.oldestHoldSeconds);
    raise(values.lockOldestWaitSeconds, row, lock.oldestWaitSeconds);
  }
  for (const { lock, site, seconds } of blocked) {
    const place = placeOf(LOCKS, lock) * SITE_COLUMNS + placeOf(LOCK_SITES, site);
    values.lockBlockedSeconds[place]! += seconds;
  }
  return values;
}

/** Of a name in its list; after the last one for a name that is not there. */
function placeOf(names: readonly string[], name: string): number {
  const place = names.indexOf(name);
  return place < 0 ? names.length : place;
}

function add(cells: HistogramCells, row: number, { cumulative, count, sum }: LockHistogram): void {
  const first = row * cells.bounds.length;
  for (let i = 0; i < cells.bounds.length; i += 1) {
    cells.counts[first + i]! += (cumulative[i] ?? count) - (cumulative[i - 1] ?? 0);
  }
  cells.sums[row]! += sum;
}

function raise(values: Float64Array, row: number, value: number): void {
  values[row] = Math.max(values[row]!, value);
}
