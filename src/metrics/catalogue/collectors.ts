/** Metrics of the metrics: parts that could not be read. */
import type { Metric } from './metric.js';

/** The parts of a server that a scrape reads, each independently. */
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
    help: 'Times that a part of the server could not be read for a scrape. Its metrics are NaN in that scrape, and the error is logged.',
  },
} as const satisfies Record<string, Metric>;
