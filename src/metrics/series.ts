/**
 * The series of each metric: every combination of its label values, also where nothing has happened
 * yet (V9), and what a registry of prom-client is given of them.
 */
import type { Metric } from './catalogue/metric.js';
import { HistogramCells } from './cells.js';
import type { Values } from './values.js';

export type Labels = Readonly<Record<string, string>>;

/** The values of labels that have one value a process, or one a worker. */
export type Constants = Readonly<Record<string, string | readonly string[]>>;

/** One line of a scrape, as a registry of prom-client takes it. */
export interface Sample {
  readonly metricName?: string;
  readonly labels?: Labels;
  readonly sharedLabels?: Labels;
  readonly value: number;
}

/** What turns the values of a metric into samples. */
export type Sampler = (values: Values) => Sample[];

/** Makes a sample of a value, with all that can be made ahead. `name`: where it is not the metric's. */
type Maker = (labels: Labels, name?: string) => (value: number) => Sample;

/** Labels of their own, so that a registry can add its default ones. */
const withLabels: Maker = (labels, metricName) =>
  metricName === undefined
    ? (value) => ({ labels, value })
    : (value) => ({ metricName, labels, value });

/** For a registry that adds none: labels are part of the name, so that a scrape need not write them anew. */
const asText =
  (metric: string): Maker =>
  (labels, name = metric) => {
    const metricName = line(name, labels);
    return (value) => ({ metricName, value, sharedLabels: NONE });
  };

/** The same for all: prom-client remembers each such object that it sees. */
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

/** All combinations of the label values, the last label fastest. */
function seriesOf(labels: Metric['labels'], constants: Constants): Labels[] {
  return Object.entries(labels).reduce<Labels[]>(
    (series, [label, values]) =>
      series.flatMap((each) =>
        (values ?? [constants[label]!].flat()).map((value) => ({ ...each, [label]: value })),
      ),
    [{}],
  );
}

/** A series as its line begins; in label values the format escapes what JSON does. */
function line(name: string, labels: Labels): string {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}=${JSON.stringify(value)}`);
  return pairs.length === 0 ? name : `${name}{${pairs.join(',')}}`;
}
