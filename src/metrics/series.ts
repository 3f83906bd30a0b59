/**
 * The series of each metric, and their samples for a prom-client registry. A metric has a series for every
 * combination of its label values, from the start (V9).
 */
import type { Metric } from './catalogue/metric.js';
import { HistogramCells } from './cells.js';
import type { Values } from './values.js';

export type Labels = Readonly<Record<string, string>>;

/** Values of the labels that have one value per process or per worker. */
export type Constants = Readonly<Record<string, string | readonly string[]>>;

/** One line of a scrape, in the form that a prom-client registry takes. */
export interface Sample {
  readonly metricName?: string;
  readonly labels?: Labels;
  readonly sharedLabels?: Labels;
  readonly value: number;
}

/** Converts the values of a metric into samples. */
export type Sampler = (values: Values) => Sample[];

/** Prepares a sample, so that only the value is filled in later. `name`: if it differs from the metric's. */
type Maker = (labels: Labels, name?: string) => (value: number) => Sample;

/** Keeps the labels separate, so that a registry can add its default ones. */
const withLabels: Maker = (labels, metricName) =>
  metricName === undefined
    ? (value) => ({ labels, value })
    : (value) => ({ metricName, labels, value });

/** For a registry without default labels: the labels are formatted ahead, as part of the name. */
const asText =
  (metric: string): Maker =>
  (labels, name = metric) => {
    const metricName = line(name, labels);
    return (value) => ({ metricName, value, sharedLabels: NONE });
  };

/** Shared by all: prom-client keeps each such object that it sees. */
const NONE = {};

export function labelledSampler(metric: Metric, constants: Constants): Sampler {
  return sampler(metric, constants, withLabels);
}

export function textSampler(metric: Metric, constants: Constants): Sampler {
  return sampler(metric, constants, asText(metric.name));
}

function sampler({ name, labels, buckets }: Metric, constants: Constants, make: Maker): Sampler {
  const series = seriesOf(labels, constants);
  if (buckets === undefined) {
    const rows = series.map((each) => make(each));
    return (values) => rows.map((sample, i) => sample(valueAt(values, i)));
  }
  const bounds = [...buckets.map(String), '+Inf'];
  const rows = series.map((each) => ({
    bins: bounds.map((le) => make({ ...each, le }, `${name}_bucket`)),
    sum: make(each, `${name}_sum`),
    count: make(each, `${name}_count`),
  }));
  return (values) => {
    const { counts, sums } = values as HistogramCells;
    return rows.flatMap((row, i) => {
      let count = 0;
      const samples = row.bins.map((bin, j) => {
        count += counts[i * bounds.length + j]!;
        return bin(count);
      });
      samples.push(row.sum(sums[i]!), row.count(count));
      return samples;
    });
  };
}

function valueAt(values: Values, i: number): number {
  if (typeof values === 'number') return values;
  return values instanceof HistogramCells ? values.sums[i]! : values[i]!;
}

/** All combinations of the label values, the last label varying fastest. */
function seriesOf(labels: Metric['labels'], constants: Constants): Labels[] {
  return Object.entries(labels).reduce<Labels[]>(
    (series, [label, values]) =>
      series.flatMap((each) =>
        (values ?? [constants[label]!].flat()).map((value) => ({ ...each, [label]: value })),
      ),
    [{}],
  );
}

/** The start of a series' line. The format escapes label values as JSON does. */
function line(name: string, labels: Labels): string {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}=${JSON.stringify(value)}`);
  return pairs.length === 0 ? name : `${name}{${pairs.join(',')}}`;
}
