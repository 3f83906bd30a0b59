/** Metrics of the metrics: what could not be read. */
import type { Metric } from './metric.js';

/** Parts of a server that are read for a scrape, each by itself. */
export const COLLECTORS = [
  'delivery',
  'members',
  'connections',
  'history',
  'identity',
  'presence',
  'broker',
  'redis',
  'events',
  'locks',
  'workers',
  'process',
] as const;

export const collectors = {
  collectorErrors: {
    name: 'roomcast_collector_errors_total',
    type: 'counter',
    unit: 'errors',
    labels: { collector: COLLECTORS },
    help: 'Times that a part of the server could not be read for a scrape: its metrics are NaN in that one. Each is in the log.',
  },
} as const satisfies Record<string, Metric>;
