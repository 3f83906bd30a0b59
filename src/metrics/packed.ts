/**
 * All that a roomcast has counted, as one array of numbers: what crosses from one process to another. Both
 * ends are of one release, so that the catalogue says what stands where.
 */
import { CATALOGUE, type MetricKey } from './catalogue/index.js';
import type { Metric } from './catalogue/metric.js';
import { HistogramCells } from './cells.js';
import { type AllValues, KEYS, seriesCount, type Values } from './values.js';

export function pack(all: AllValues): Float64Array {
  return Float64Array.from(KEYS.flatMap((key) => flat(all[key])));
}

/** @throws Error for what is of another length, such as that of another release */
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
 * What stays of a roomcast whose process has ended: its counters. What was queued for its members is
 * abandoned with them, so that V10 holds in what stays.
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
