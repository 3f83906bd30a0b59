/**
 * Reads all values of the catalogue synchronously, so that V10 holds in them, and merges the values of
 * several roomcasts. If a part cannot be read, only its own metrics are missing, and the error is reported.
 *
 * Not here: how a part is read (`collect.ts`), exposition (`registry.ts`, `app-registry.ts`).
 */
import { COLLECTORS } from './catalogue/collectors.js';
import { CATALOGUE, type MetricKey, OWNERS, type Owner } from './catalogue/index.js';
import type { Metric } from './catalogue/metric.js';
import { HistogramCells } from './cells.js';
import { COLLECT, type Shared, type Sources } from './collect.js';
import { type Reading, read } from './gauges.js';
import type { ProcessStats } from './process.js';

/** One number per series, in the order of the label values; a bare number for a metric with one series. */
export type Values = number | Float64Array | readonly number[] | HistogramCells;

export type AllValues = Readonly<Record<MetricKey, Values>>;

export const KEYS = Object.keys(CATALOGUE) as readonly MetricKey[];

/** Number of series of a metric. */
export const seriesCount = ({ labels }: Metric): number =>
  Object.values(labels).reduce((count, values) => count * (values?.length ?? 1), 1);

/** Reads everything synchronously. `failed` is called for each part that cannot be read. */
export function readAll(
  sources: Sources,
  stats: ProcessStats,
  failed: (error: unknown, collector: string) => void,
): AllValues {
  let reading: Reading | undefined;
  const shared: Shared = {
    stats,
    get reading() {
      reading ??= read(sources.gauges);
      return reading;
    },
  };
  const all: Record<string, Values> = {};
  for (const owner of Object.keys(OWNERS) as Owner[]) {
    try {
      Object.assign(all, COLLECT[owner](sources, shared));
    } catch (error) {
      const index = (COLLECTORS as readonly Owner[]).indexOf(owner);
      sources.recorder.collectorErrorsBy[index]! += 1;
      failed(error, owner);
      for (const [key, metric] of Object.entries(OWNERS[owner])) all[key] = unknown(metric);
    }
  }
  return all as AllValues;
}

/** NaN in every series, so that the series stay the same (V9) and show no false number. */
function unknown(metric: Metric): Values {
  const series = seriesCount(metric);
  if (metric.buckets === undefined) return new Float64Array(series).fill(Number.NaN);
  const cells = new HistogramCells(metric.buckets, series);
  cells.counts.fill(Number.NaN);
  cells.sums.fill(Number.NaN);
  return cells;
}

/** Merges the values of several roomcasts. */
export function together(key: MetricKey, all: readonly Values[]): Values {
  const { aggregate }: Metric = CATALOGUE[key];
  const [first = 0, ...others] = all;
  return others.reduce((one, other) => {
    if (one instanceof HistogramCells && other instanceof HistogramCells) return one.plus(other);
    const [a, b] = [listOf(one), listOf(other)];
    if (aggregate === 'ranks') return [...a, ...b].sort((x, y) => y - x).slice(0, a.length);
    return a.map((value, i) => (aggregate === 'max' ? Math.max(value, b[i]!) : value + b[i]!));
  }, first);
}

const listOf = (values: Values): readonly number[] =>
  typeof values === 'number' ? [values] : Array.from(values as Float64Array);
