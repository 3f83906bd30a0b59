/** Metrics of the workers on one port, and of the links between them; constant with a single process. */
import type { Metric } from './metric.js';

export const workers = {
  workers: {
    name: 'roomcast_workers',
    type: 'gauge',
    unit: 'processes',
    labels: {},
    help: 'Worker processes whose values are in this answer; a slot counts twice while a new worker replaces the old one.',
  },
  workersStale: {
    name: 'roomcast_workers_stale',
    type: 'gauge',
    unit: 'processes',
    labels: {},
    help: 'Workers that did not answer this scrape in time: their values are up to a second old, or older if the worker is blocked.',
  },
  workersMissing: {
    name: 'roomcast_workers_missing',
    type: 'gauge',
    unit: 'processes',
    labels: {},
    help: 'Workers that should run and do not: their rooms are unavailable, and the other workers serve their members.',
  },
  workerRestarts: {
    name: 'roomcast_worker_restarts_total',
    type: 'counter',
    unit: 'restarts',
    labels: {},
    help: 'Workers that exited or were killed, and were replaced. The counts of the last second of such a worker may be missing.',
  },
  surveysMissing: {
    name: 'roomcast_survey_missing_total',
    type: 'counter',
    unit: 'answers',
    labels: {},
    help: 'Answers of other workers that did not arrive in time; the merged answers name the missing workers.',
  },
  meshQueueBytes: {
    name: 'roomcast_mesh_queue_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: {},
    help: 'Bytes queued on the links to other workers; each link may hold 8 MiB.',
  },
  meshLost: {
    name: 'roomcast_mesh_lost_total',
    type: 'counter',
    unit: 'messages',
    labels: {},
    help: 'Messages that were not sent to a worker because it did not read. Its members get a gap with reason node.',
  },
} as const satisfies Record<string, Metric>;
