/**
 * Publishes the catalogue in the text format of Prometheus. Nothing is kept here: at a scrape all
 * numbers are read in one go, and V10 holds in what comes out because nothing else runs meanwhile.
 * V9: every combination of label values is written, also where nothing has happened yet.
 *
 * The only user of prom-client.
 */
import { type Metric as PromMetric, Registry } from 'prom-client';
import type { Detector, LockMetrics } from '../lock/index.js';
import { CATALOGUE, type MetricKey } from './catalogue/index.js';
import type { Metric } from './catalogue/metric.js';
import { HistogramCells } from './cells.js';
import { type Gauges, type Reading, read } from './gauges.js';
import { readLocks } from './locks.js';
import { memoryUsage, openFds, ProcessStats } from './process.js';
import type { Recorder } from './recorder.js';

export interface MetricsOptions {
  readonly recorder: Recorder;
  readonly gauges: Gauges;
  /** Of the locks of this server. */
  readonly detector: Pick<Detector, 'metrics'>;
  /** Of roomcast. */
  readonly version: string;
}

export interface Metrics {
  readonly contentType: string;
  /** Everything there is to know now, as text. */
  scrape(): Promise<string>;
  /** Stops watching the event loop and the garbage collector. */
  close(): void;
}

/** A number a series, in the order of the label values; a bare number for a metric of one series. */
type Values = number | ArrayLike<number> | HistogramCells;

type Labels = Readonly<Record<string, string>>;

/** A line: labels are part of its name, so that a scrape need not write them anew. */
interface Sample {
  readonly metricName: string;
  readonly value: number;
  /** The same for all: prom-client remembers each such object that it sees. */
  readonly sharedLabels: typeof NONE;
}

const NONE = {};

export function createMetrics({ recorder, gauges, detector, version }: MetricsOptions): Metrics {
  const stats = new ProcessStats();
  const registry = new Registry();
  const buildInfo = { version, node: process.version };
  let now: Readonly<Record<MetricKey, Values>>;

  for (const key of Object.keys(CATALOGUE) as MetricKey[]) {
    const metric: Metric = CATALOGUE[key];
    const { name, type, help } = metric;
    const samples = sampler(metric, seriesOf(metric.labels, buildInfo));
    const aggregator = 'sum';
    const get = () => ({ name, help, type, aggregator, values: samples(now[key]) });
    // What a registry needs of a metric; the classes bring their own, slower, way to count.
    registry.registerMetric({ name, help, type, aggregator, get } as unknown as PromMetric);
  }

  return {
    contentType: registry.contentType,
    scrape() {
      // The registry asks every metric before it first awaits, so that no other scrape comes between.
      now = valuesOf(recorder, read(gauges), detector.metrics(), stats);
      return registry.metrics();
    },
    close: () => stats.close(),
  };
}

function valuesOf(
  recorder: Recorder,
  reading: Reading,
  locks: LockMetrics,
  stats: ProcessStats,
): Record<MetricKey, Values> {
  const cpu = process.cpuUsage();
  const memory = memoryUsage();
  const lag = stats.eventLoopLag();
  return {
    published: recorder.totals.published,
    fannedOut: recorder.totals.fannedOut,
    delivered: recorder.deliverySeconds.total(),
    dropped: recorder.droppedBy,
    abandoned: recorder.totals.abandoned,
    queueMessages: reading.queueMessages,
    queueBytes: reading.queueBytes,
    queueLimitBytes: reading.queueBytesLimit,
    deliverySeconds: recorder.deliverySeconds,
    queueWaitSeconds: recorder.queueWaitSeconds,
    flushSeconds: recorder.flushSeconds,
    memberRttSeconds: recorder.memberRttSeconds,
    members: reading.membersBy,
    slowMembers: reading.slowMembers,
    membersLagAtMost: reading.lagAtMost,
    topMemberLagSeconds: reading.topLagSeconds,
    topMemberQueueBytes: reading.topQueueBytes,
    rooms: reading.rooms,
    opened: recorder.openedBy,
    closed: recorder.closedBy,
    evicted: recorder.evictedBy,
    refused: recorder.refusedBy,
    socketsRefused: recorder.socketsRefusedBy,
    listenerErrors: recorder.listenerErrorsBy,
    sentBytes: recorder.sentBytesBy,
    ...readLocks(locks),
    buildInfo: 1,
    processCpuUserSeconds: cpu.user / 1e6,
    processCpuSystemSeconds: cpu.system / 1e6,
    processCpuSeconds: (cpu.user + cpu.system) / 1e6,
    processStartTimeSeconds: stats.startTime,
    processResidentMemoryBytes: memory.rss,
    processOpenFds: openFds(),
    processMaxFds: stats.maxFds,
    nodejsHeapTotalBytes: memory.heapTotal,
    nodejsHeapUsedBytes: memory.heapUsed,
    nodejsExternalMemoryBytes: memory.external,
    nodejsEventLoopLagP50Seconds: lag.p50,
    nodejsEventLoopLagP99Seconds: lag.p99,
    nodejsEventLoopLagMaxSeconds: lag.max,
    nodejsGcDurationSeconds: stats.gcSeconds,
  };
}

/** All combinations of the label values, the last label fastest. */
function seriesOf(labels: Metric['labels'], constants: Labels): Labels[] {
  return Object.entries(labels).reduce<Labels[]>(
    (series, [label, values]) =>
      series.flatMap((each) =>
        (values ?? [constants[label]!]).map((value) => ({ ...each, [label]: value })),
      ),
    [{}],
  );
}

/** What turns the values of a metric into lines: all of their text is made beforehand. */
function sampler(
  { name, buckets = [] }: Metric,
  series: readonly Labels[],
): (values: Values) => Sample[] {
  const bounds = [...buckets.map(String), '+Inf'];
  const rows = series.map((labels) => ({
    own: line(name, labels),
    bins: bounds.map((le) => line(`${name}_bucket`, { ...labels, le })),
    sum: line(`${name}_sum`, labels),
    count: line(`${name}_count`, labels),
  }));
  return (values) => {
    if (typeof values === 'number') return rows.map(({ own }) => sampleOf(own, values));
    if (!(values instanceof HistogramCells)) {
      return rows.map(({ own }, i) => sampleOf(own, values[i]!));
    }
    return rows.flatMap((row, i) => {
      let count = 0;
      const samples: Sample[] = row.bins.map((metricName, j) => {
        count += values.counts[i * row.bins.length + j]!;
        return sampleOf(metricName, count);
      });
      samples.push(sampleOf(row.sum, values.sums[i]!));
      samples.push(sampleOf(row.count, count));
      return samples;
    });
  };
}

const sampleOf = (metricName: string, value: number): Sample => ({
  metricName,
  value,
  sharedLabels: NONE,
});

/** A series as its line begins; in label values the format escapes what JSON does. */
function line(name: string, labels: Labels): string {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}=${JSON.stringify(value)}`);
  return pairs.length === 0 ? name : `${name}{${pairs.join(',')}}`;
}
