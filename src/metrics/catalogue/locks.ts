/** Metrics of the locks, and the lock classes and sites that label them. */
import type { LockResult, Mode, ReportKind } from '../../lock/index.js';
import type { Metric } from './metric.js';

/** Lock classes, and the sites in the code that acquire them; the last value stands for any other. */
export const LOCKS = ['room.lifecycle', 'room.members', 'other'] as const;
export const LOCK_SITES = [
  'Room.add',
  'Room.members',
  'Room.remove',
  'Rooms.enter',
  'Rooms.subscribe',
  'Rooms.unsubscribe',
  'other',
] as const;
export const LOCK_MODES = ['read', 'write'] as const satisfies readonly Mode[];
// As object keys, so that the compiler reports a missing one.
export const LOCK_RESULTS = Object.keys({
  immediate: true,
  waited: true,
  timeout: true,
  aborted: true,
  closed: true,
  deadlock: true,
} satisfies Record<LockResult, true>) as readonly LockResult[];
export const LOCK_REPORTS = Object.keys({
  deadlock: true,
  'stuck-at-exit': true,
  'timed-cycle': true,
  'recursive-lock': true,
  'lock-order-inversion': true,
  'wait-while-holding': true,
  'lock-wait-timeout': true,
  'long-hold': true,
} satisfies Record<ReportKind, true>) as readonly ReportKind[];

/** 1 µs to 30 s: from a section that only reads memory, over an answer of the broker, to a deadlock. */
const LOCK_SECONDS = [
  0.000001, 0.0000025, 0.000005, 0.00001, 0.000025, 0.0001, 0.00025, 0.001, 0.0025, 0.01, 0.1, 1,
  10, 30,
];

const LOCK_LABELS = { lock: LOCKS, mode: LOCK_MODES };

export const locks = {
  lockWaitSeconds: {
    name: 'roomcast_lock_wait_seconds',
    type: 'histogram',
    unit: 'seconds',
    labels: LOCK_LABELS,
    buckets: LOCK_SECONDS,
    help: 'Time from the request for a lock until it was granted or failed; 0 if the lock was free.',
  },
  lockHoldSeconds: {
    name: 'roomcast_lock_hold_seconds',
    type: 'histogram',
    unit: 'seconds',
    labels: LOCK_LABELS,
    buckets: LOCK_SECONDS,
    help: 'Time a lock was held.',
  },
  lockBlockedSeconds: {
    name: 'roomcast_lock_blocked_seconds_total',
    type: 'counter',
    unit: 'seconds',
    labels: { lock: LOCKS, site: LOCK_SITES },
    help: 'Time that requests spent waiting for a lock, charged to the site in the code that held it.',
  },
  lockAcquisitions: {
    name: 'roomcast_lock_acquisitions_total',
    type: 'counter',
    unit: 'requests',
    labels: { ...LOCK_LABELS, result: LOCK_RESULTS },
    help: 'Requests for a lock, by result.',
  },
  lockWaiters: {
    name: 'roomcast_lock_waiters',
    type: 'gauge',
    unit: 'requests',
    labels: LOCK_LABELS,
    help: 'Requests waiting for a lock.',
  },
  lockHolders: {
    name: 'roomcast_lock_holders',
    type: 'gauge',
    unit: 'holds',
    labels: LOCK_LABELS,
    help: 'Locks held.',
  },
  lockOldestWaitSeconds: {
    name: 'roomcast_lock_oldest_wait_seconds',
    type: 'gauge',
    aggregate: 'max',
    unit: 'seconds',
    labels: LOCK_LABELS,
    help: 'Age of the oldest waiting request; 0 without one.',
  },
  lockOldestHoldSeconds: {
    name: 'roomcast_lock_oldest_hold_seconds',
    type: 'gauge',
    aggregate: 'max',
    unit: 'seconds',
    labels: LOCK_LABELS,
    help: 'Age of the oldest hold; 0 without one.',
  },
  lockReports: {
    name: 'roomcast_lock_reports_total',
    type: 'counter',
    unit: 'incidents',
    labels: { kind: LOCK_REPORTS },
    help: 'Incidents found by the lock detector. deadlock and stuck-at-exit are certain, the others are suspicions.',
  },
  lockDeadlockedTasks: {
    name: 'roomcast_lock_deadlocked_tasks',
    type: 'gauge',
    unit: 'tasks',
    labels: {},
    help: 'Tasks in a deadlock now.',
  },
} as const satisfies Record<string, Metric>;
