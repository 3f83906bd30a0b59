/**
 * All that the catalogue has, read at one instant: nothing else runs meanwhile, so that V10 holds in it.
 * A part that cannot be read costs its own metrics and no others, and is told. And how the readings of
 * several roomcasts become one.
 *
 * Not here: how a part is read (`collect.ts`), how they are published (`registry.ts`, `app-registry.ts`).
 */
import { COLLECTORS } from './catalogue/collectors.js';
import { CATALOGUE, type MetricKey, OWNERS, type Owner } from './catalogue/index.js';
import type { Metric } from './catalogue/metric.js';
import { HistogramCells } from './cells.js';
import { COLLECT, type Shared, type Sources } from './collect.js';
import { type Reading, read } from './gauges.js';
import type { ProcessStats } from './process.js';

/** A number a series, in the order of the label values; a bare number for a metric of one series. */
export type Values = number | Float64Array | readonly number[] | HistogramCells;

export type AllValues = Readonly<Record<MetricKey, Values>>;

export const KEYS = Object.keys(CATALOGUE) as readonly MetricKey[];

/** Of these labels there are so many series. */
export const seriesCount = ({ labels }: Metric): number =>
  Object.values(labels).reduce((count, values) => count * (values?.length ?? 1), 1);

/** Reads everything now, without a break. `failed` is told of a part that cannot be read. */
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

/** NaN in every series, so that it stays the same series (V9) and nobody takes it for a number. */
function unknown(metric: Metric): Values {
  const series = seriesCount(metric);
  if (metric.buckets === undefined) return new Float64Array(series).fill(Number.NaN);
  const cells = new HistogramCells(metric.buckets, series);
  cells.counts.fill(Number.NaN);
  cells.sums.fill(Number.NaN);
  return cells;
}

/** Of several roomcasts together. */
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
