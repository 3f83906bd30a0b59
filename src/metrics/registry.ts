/**
 * Exposes the catalogue in the text format of Prometheus. It keeps no counts: a scrape reads all values
 * synchronously, so that V10 holds in the output.
 *
 * Not here: a registry of the app (`app-registry.ts`). This is the only user of prom-client.
 */
import { type Metric as PromMetric, Registry } from 'prom-client';
import { errorFields } from '../app-error.js';
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

/** Sends the values of this worker to the primary process, and resolves with those of all workers. */
export type Gather = (own: Float64Array) => Promise<Gathered>;

export interface MetricsOptions extends Sources {
  /** In a worker of several: the number of workers, and the way to get their values. */
  readonly workers?: { readonly slots: number; readonly gather: Gather } | undefined;
  /** For parts that cannot be read. */
  readonly log: Pick<Log, 'error'>;
  /** Version of roomcast. */
  readonly version: string;
  /** The app's registry, checked by `checkRegistry`; it exposes all metrics of roomcast too. */
  readonly registry?: AppRegistry | undefined;
}

export interface Metrics {
  readonly contentType: string;
  /** All metrics now, as text. */
  scrape(): Promise<string>;
  /** The values of this process alone. */
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
      failures.add({ ...errorFields(err), collector }, 'cannot read a part of the metrics'),
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
    // The interface that a registry needs; prom-client's metric classes count too, but more slowly.
    registry.registerMetric({ name, help, type, get } as unknown as PromMetric);
  }

  return {
    contentType: registry.contentType,
    async scrape() {
      const own = readNow();
      const all = sources.workers && (await sources.workers.gather(pack(own)));
      // The registry calls every metric before its first await, so no other scrape can interleave.
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
