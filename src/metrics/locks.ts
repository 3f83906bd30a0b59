/**
 * Converts the metrics of the lock module to the order of the catalogue. V9: lock classes and sites that
 * the catalogue does not list, such as those of the app, are summed up as `other`.
 */
import type { LockMetrics, LockMetricsRow } from '../lock/index.js';
import { CATALOGUE } from './catalogue/index.js';
import { LOCK_MODES, LOCK_REPORTS, LOCK_RESULTS, LOCK_SITES, LOCKS } from './catalogue/locks.js';
import { HistogramCells } from './cells.js';

/** Values by metric key; rows are in the order of the label values. */
export function readLocks(metrics: LockMetrics) {
  const rows = LOCKS.length * LOCK_MODES.length;
  const wait = new HistogramCells(CATALOGUE.lockWaitSeconds.buckets, rows);
  const hold = new HistogramCells(CATALOGUE.lockHoldSeconds.buckets, rows);
  const acquisitions = new Float64Array(rows * LOCK_RESULTS.length);
  const waiters = new Float64Array(rows);
  const holders = new Float64Array(rows);
  const oldestWait = new Float64Array(rows);
  const oldestHold = new Float64Array(rows);
  const blocked = new Float64Array(LOCKS.length * LOCK_SITES.length);

  for (const each of metrics.locks) {
    const row = indexIn(LOCKS, each.lock) * LOCK_MODES.length + LOCK_MODES.indexOf(each.mode);
    add(wait, row, each.wait);
    add(hold, row, each.hold);
    for (const [i, result] of LOCK_RESULTS.entries()) {
      acquisitions[row * LOCK_RESULTS.length + i]! += each.acquisitions[result];
    }
    waiters[row]! += each.waiters;
    holders[row]! += each.holders;
    oldestWait[row] = Math.max(oldestWait[row]!, each.oldestWaitSeconds);
    oldestHold[row] = Math.max(oldestHold[row]!, each.oldestHoldSeconds);
  }
  for (const { lock, site, seconds } of metrics.blocked) {
    blocked[indexIn(LOCKS, lock) * LOCK_SITES.length + indexIn(LOCK_SITES, site)]! += seconds;
  }
  return {
    lockWaitSeconds: wait,
    lockHoldSeconds: hold,
    lockBlockedSeconds: blocked,
    lockAcquisitions: acquisitions,
    lockWaiters: waiters,
    lockHolders: holders,
    lockOldestWaitSeconds: oldestWait,
    lockOldestHoldSeconds: oldestHold,
    lockReports: LOCK_REPORTS.map((kind) => metrics.reports[kind]),
    lockDeadlockedTasks: metrics.deadlockedTasks,
  };
}

/** Index of the value; that of `other`, the last one, if it is not listed. */
function indexIn(values: readonly string[], value: string): number {
  const index = values.indexOf(value);
  return index < 0 ? values.length - 1 : index;
}

function add(
  cells: HistogramCells,
  row: number,
  { cumulative, count, sum }: LockMetricsRow['wait'],
) {
  const width = cells.bounds.length;
  let below = 0;
  for (let bucket = 0; bucket < width; bucket += 1) {
    const atMost = cumulative[bucket] ?? count;
    cells.counts[row * width + bucket]! += atMost - below;
    below = atMost;
  }
  cells.sums[row]! += sum;
}
