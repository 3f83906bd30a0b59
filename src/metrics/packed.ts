/**
 * Packs all metric values of a roomcast into one array of numbers, to send them to another process. Both
 * processes run the same release, so the catalogue defines the layout.
 */
import { CATALOGUE, type MetricKey } from './catalogue/index.js';
import type { Metric } from './catalogue/metric.js';
import { HistogramCells } from './cells.js';
import { type AllValues, KEYS, seriesCount, type Values } from './values.js';

export function pack(all: AllValues): Float64Array {
  return Float64Array.from(KEYS.flatMap((key) => flat(all[key])));
}

/** @throws Error if the length is wrong, as from another release */
export function unpack(numbers: Float64Array): AllValues {
  let at = 0;
  const take = (length: number) => {
    at += length;
    return numbers.slice(at - length, at);
  };
  const entries = KEYS.map((key): [MetricKey, Values] => {
    const metric: Metric = CATALOGUE[key];
    const { buckets } = metric;
    const series = seriesCount(metric);
    if (buckets === undefined) return [key, take(series)];
    const cells = new HistogramCells(buckets, series);
    cells.counts.set(take(cells.counts.length));
    cells.sums.set(take(series));
    return [key, cells];
  });
  if (at !== numbers.length) throw new Error(`${numbers.length} numbers, not ${at}`);
  return Object.fromEntries(entries) as AllValues;
}

/**
 * What remains of a roomcast whose process has ended: its counters. Messages that were queued for its
 * members count as abandoned, so that V10 still holds.
 */
export function remains(all: AllValues): AllValues {
  const [queued = 0] = flat(all.queueMessages);
  const entries = KEYS.map((key): [MetricKey, Values] => {
    if (CATALOGUE[key].type === 'gauge') return [key, flat(all[key]).map(() => 0)];
    return [key, key === 'abandoned' ? flat(all[key]).map((count) => count + queued) : all[key]];
  });
  return Object.fromEntries(entries) as AllValues;
}

function flat(values: Values): readonly number[] {
  if (typeof values === 'number') return [values];
  if (values instanceof HistogramCells) return [...values.counts, ...values.sums];
  return Array.from(values as Float64Array);
}
