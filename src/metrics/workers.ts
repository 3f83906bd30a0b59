/**
 * The numbers of several workers as one answer. What is counted is summed, with what workers that have
 * ended had counted, so that V10 holds in the sum; what is of a process is told of each, by its slot.
 *
 * Not here: who collects them (`cluster/ledger.ts`).
 */

import type { MetricKey } from './catalogue/index.js';
import { ofProcess } from './catalogue/process.js';
import { HistogramCells } from './cells.js';
import { unpack } from './packed.js';
import { type AllValues, KEYS, together, type Values } from './values.js';

/** What a scrape is made of, packed. */
export interface Gathered {
  /** Of every worker that lives, the oldest first: of a slot that changes hands there are two. */
  readonly workers: readonly { readonly slot: number; readonly values: Float64Array }[];
  /** Slots whose numbers are not of now. */
  readonly stale: readonly number[];
  /** What workers that have ended had counted, together; null while there is none. */
  readonly left: Float64Array | null;
  readonly restarts: number;
}

/** Of which each worker has its own. */
export const isPerWorker = (key: MetricKey): boolean =>
  key !== 'buildInfo' && Object.hasOwn(ofProcess, key);

/** By the name of a metric: its values, those of each worker one behind the other where it has its own. */
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

/** NaN for a slot that nobody has. */
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
