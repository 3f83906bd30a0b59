/** Metrics of several workers on one port, and of the ways between them; of one process alone they stand still. */
import type { Metric } from './metric.js';

export const workers = {
  workers: {
    name: 'roomcast_workers',
    type: 'gauge',
    unit: 'processes',
    labels: {},
    help: 'Processes that serve, and whose numbers are in this answer; two of a slot while it changes hands.',
  },
  workersStale: {
    name: 'roomcast_workers_stale',
    type: 'gauge',
    unit: 'processes',
    labels: {},
    help: 'Workers that have not answered this scrape in time: their numbers are up to a second old, or as old as they stand still.',
  },
  workersMissing: {
    name: 'roomcast_workers_missing',
    type: 'gauge',
    unit: 'processes',
    labels: {},
    help: 'Workers that there should be and are not: their rooms cannot be had, and the others serve their members.',
  },
  workerRestarts: {
    name: 'roomcast_worker_restarts_total',
    type: 'counter',
    unit: 'restarts',
    labels: {},
    help: 'Workers that have ended by themselves or were killed, and were replaced. Of what such a worker counted, its last second may be missing.',
  },
  surveysMissing: {
    name: 'roomcast_survey_missing_total',
    type: 'counter',
    unit: 'answers',
    labels: {},
    help: 'Answers of other workers that did not come in time; the answers made of them name who is missing.',
  },
  meshQueueBytes: {
    name: 'roomcast_mesh_queue_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: {},
    help: 'Bytes that wait on the links from worker to worker; each link may hold 8 MiB.',
  },
  meshLost: {
    name: 'roomcast_mesh_lost_total',
    type: 'counter',
    unit: 'messages',
    labels: {},
    help: 'Messages that a worker was not sent since it did not read. Its members are told by a gap with reason node.',
  },
} as const satisfies Record<string, Metric>;
