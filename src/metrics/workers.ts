/**
 * Merges the metrics of several workers. Counts are summed, including those of workers that have ended, so
 * that V10 holds in the sum; process metrics are exposed for each worker, labelled with its slot.
 *
 * Not here: the collection of the values (`cluster/ledger.ts`).
 */

import type { MetricKey } from './catalogue/index.js';
import { ofProcess } from './catalogue/process.js';
import { HistogramCells } from './cells.js';
import { unpack } from './packed.js';
import { type AllValues, KEYS, together, type Values } from './values.js';

/** The input of a scrape, packed. */
export interface Gathered {
  /** The values of every live worker, oldest first. A slot has two workers while one replaces the other. */
  readonly workers: readonly { readonly slot: number; readonly values: Float64Array }[];
  /** Slots whose values are outdated. */
  readonly stale: readonly number[];
  /** Sum of the counts of ended workers; null if there is none. */
  readonly left: Float64Array | null;
  readonly restarts: number;
}

/** Whether the metric is exposed for each worker. */
export const isPerWorker = (key: MetricKey): boolean =>
  key !== 'buildInfo' && Object.hasOwn(ofProcess, key);

/** Values by metric key; for a per-worker metric, the values of the slots one after the other. */
export function merged(
  { workers, stale, left, restarts }: Gathered,
  slots: number,
): Readonly<Record<string, Values>> {
  const living = workers.map(({ slot, values }) => ({ slot, values: unpack(values) }));
  const ended = left === null ? [] : [unpack(left)];
  const all = [...living.map(({ values }) => values), ...ended];
  const summed = KEYS.map((key): [string, Values] => {
    if (isPerWorker(key)) return [key, ofEach(key, living, slots)];
    const values = all.map((each) => each[key]);
    return [key, together(key, values)];
  });
  return {
    ...Object.fromEntries(summed),
    workersStale: stale.length,
    workersMissing: slots - new Set(workers.map(({ slot }) => slot)).size,
    workerRestarts: restarts,
  };
}

/** NaN for a slot without a worker. */
function ofEach(
  key: MetricKey,
  living: readonly { readonly slot: number; readonly values: AllValues }[],
  slots: number,
): Values {
  const like = living[0]?.values[key];
  const each = Array.from({ length: slots }, (_, slot) => {
    const found = living.findLast((one) => one.slot === slot);
    return found?.values[key];
  });
  if (like instanceof HistogramCells) {
    const series = like.sums.length;
    const cells = new HistogramCells(like.bounds.slice(0, -1), series * slots);
    each.forEach((one, slot) => {
      if (!(one instanceof HistogramCells)) return;
      cells.counts.set(one.counts, slot * one.counts.length);
      cells.sums.set(one.sums, slot * series);
    });
    return cells;
  }
  return each.flatMap((one) => (one === undefined ? [Number.NaN] : Array.from(one as number[])));
}
