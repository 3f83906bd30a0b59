/**
 * Publishes the catalogue in the text format of Prometheus. Nothing is kept here: at a scrape all
 * numbers are read in one go, and V10 holds in what comes out because nothing else runs meanwhile.
 *
 * Not here: publishing in a registry of the app (`app-registry.ts`). The only user of prom-client.
 */
import { type Metric as PromMetric, Registry } from 'prom-client';
import { FailureLog, type Log } from '../log.js';
import { type AppRegistry, join } from './app-registry.js';
import { CATALOGUE } from './catalogue/index.js';
import type { Metric } from './catalogue/metric.js';
import type { Sources } from './collect.js';
import { pack } from './packed.js';
import { ProcessStats } from './process.js';
import { textSampler } from './series.js';
import { type AllValues, KEYS, readAll, type Values } from './values.js';
import { type Gathered, isPerWorker, merged } from './workers.js';

/** Leaves the numbers of this worker with those of all, and resolves with all of them. */
export type Gather = (own: Float64Array) => Promise<Gathered>;

export interface MetricsOptions extends Sources {
  /** Where this is one of several workers: how many they are, and their numbers. */
  readonly workers?: { readonly slots: number; readonly gather: Gather } | undefined;
  /** Of parts that cannot be read. */
  readonly log: Pick<Log, 'error'>;
  /** Of roomcast. */
  readonly version: string;
  /** Of the app, checked by `checkRegistry`: it has all that is of roomcast too. */
  readonly registry?: AppRegistry | undefined;
}

export interface Metrics {
  readonly contentType: string;
  /** Everything there is to know now, as text. */
  scrape(): Promise<string>;
  /** The numbers of this process alone. */
  read(): AllValues;
  /** Stops watching the event loop and the garbage collector. */
  close(): void;
}

export function createMetrics({
  version,
  registry: ofApp,
  log,
  ...sources
}: MetricsOptions): Metrics {
  const failures = new FailureLog(log);
  const slots = sources.workers?.slots ?? 1;
  const worker = Array.from({ length: slots }, (_, slot) => String(slot));
  const constants = { version, node: process.version, worker };
  const stats = new ProcessStats();
  const readNow = () =>
    readAll(sources, stats, (err, collector) =>
      failures.add({ err, collector }, 'a part of the metrics cannot be read'),
    );
  const leave = ofApp && join(ofApp, readNow, { version, node: process.version });
  const registry = new Registry();
  let now: Readonly<Record<string, Values>>;

  for (const key of KEYS) {
    const metric: Metric = CATALOGUE[key];
    const { name, type, help, labels } = metric;
    const isLabelled = slots > 1 && isPerWorker(key);
    const samples = textSampler(
      isLabelled ? { ...metric, labels: { worker: null, ...labels } } : metric,
      constants,
    );
    const get = () => ({ name, help, type, values: samples(now[key] as Values) });
    // What a registry needs of a metric; the classes bring their own, slower, way to count.
    registry.registerMetric({ name, help, type, get } as unknown as PromMetric);
  }

  return {
    contentType: registry.contentType,
    async scrape() {
      const own = readNow();
      const all = sources.workers && (await sources.workers.gather(pack(own)));
      // The registry asks every metric before it first awaits, so that no other scrape comes between.
      now = all === undefined ? own : merged(all, slots);
      return registry.metrics();
    },
    read: readNow,
    close() {
      leave?.();
      stats.close();
    },
  };
}
