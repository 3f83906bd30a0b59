/**
 * Every metric of roomcast: the only place where a name, a type, a unit, a label, a bucket or a help
 * text is written. The registry, the dashboard, the alert rules, the docs and the tests read it here.
 *
 * Owns V9: a label takes its values from the fixed sets below, and every combination is exported
 * from the first scrape on, so that the number of series never depends on who is connected.
 * Pure data. Not here: counting (`recorder.ts`), publishing (`registry.ts`).
 */
import { CLOSE, type EndReason, REFUSAL, type RefusalCode } from '../errors.js';
import type { LockResult, Mode, ReportKind } from '../lock/index.js';
import { DROP_REASONS, SOCKET_REFUSALS } from '../room/observer.js';
import { TRANSPORTS } from '../transport/transport.js';

export interface Metric {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  /** Of one value, in the words of Prometheus: base units, or what is counted. */
  readonly unit: string;
  /** The values of each label, or `null` for a label with one value a process. */
  readonly labels: Readonly<Record<string, readonly string[] | null>>;
  /** Upper bounds of a histogram, ascending, without the last one, +Inf. */
  readonly buckets?: readonly number[];
  readonly help: string;
}

/** Whether the member was healthy when its message went out: the split that shows isolation. */
export const CONSUMERS = ['healthy', 'slow'] as const;

export const END_REASONS: readonly EndReason[] = [
  ...(Object.keys(CLOSE) as (keyof typeof CLOSE)[]),
  'client',
  'lost',
];

export const REFUSAL_CODES = Object.keys(REFUSAL) as readonly RefusalCode[];

/** Seconds; how far behind a member may be to be counted by `membersLagAtMost`. */
export const LAG_BOUNDS: readonly number[] = [
  0.005,
  0.01,
  0.025,
  0.05,
  0.1,
  0.25,
  0.5,
  1,
  2.5,
  10,
  30,
  Number.POSITIVE_INFINITY,
];

/** How many members `top_member_*` shows, by rank: who they are is asked at /v1/members. */
export const TOP = 10;

export const GC_KINDS = ['minor', 'major', 'incremental', 'weakcb'] as const;

const RANKS = Array.from({ length: TOP }, (_, i) => String(i + 1));

/** 100 µs to 10 s: what a message or a heartbeat takes over a network. */
const NETWORK_SECONDS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

/** 10 µs to 100 ms around the 5 ms after which a run of the fan-out yields. */
const RUN_SECONDS = [
  0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1,
];

/** Classes of locks, and where in the code they are taken; the last value stands for any other. */
export const LOCKS = ['room.lifecycle', 'room.members', 'other'] as const;
export const LOCK_SITES = [
  'Hub.firstJoin',
  'Hub.join',
  'Hub.lastLeave',
  'Room.add',
  'Room.members',
  'Room.remove',
  'other',
] as const;
export const LOCK_MODES = ['read', 'write'] as const satisfies readonly Mode[];
// As keys, so that the compiler says when one is missing.
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

/** 1 µs to 30 s: a section that only reads memory, a broker's answer, a deadlock. */
const LOCK_SECONDS = [
  0.000001, 0.0000025, 0.000005, 0.00001, 0.000025, 0.0001, 0.00025, 0.001, 0.0025, 0.01, 0.1, 1,
  10, 30,
];

const LOCK_LABELS = { lock: LOCKS, mode: LOCK_MODES };

export const CATALOGUE = {
  published: {
    name: 'roomcast_published_total',
    type: 'counter',
    unit: 'messages',
    labels: {},
    help: 'Messages accepted by the broker and delivered to this server.',
  },
  fannedOut: {
    name: 'roomcast_fanout_total',
    type: 'counter',
    unit: 'messages',
    labels: {},
    help: 'Messages offered to members: one for each message and member of its room. Always equal to delivered + dropped + abandoned + queued.',
  },
  delivered: {
    name: 'roomcast_delivered_total',
    type: 'counter',
    unit: 'messages',
    labels: {},
    help: 'Messages handed whole to the kernel of this host, for one member each.',
  },
  dropped: {
    name: 'roomcast_dropped_total',
    type: 'counter',
    unit: 'messages',
    labels: { reason: DROP_REASONS },
    help: 'Messages dropped from the queue of a member, by the overflow policy that did it. The member is told with a gap.',
  },
  abandoned: {
    name: 'roomcast_abandoned_total',
    type: 'counter',
    unit: 'messages',
    labels: {},
    help: 'Messages still queued or in flight for a member when it left the room or its connection ended.',
  },
  queueMessages: {
    name: 'roomcast_queue_messages',
    type: 'gauge',
    unit: 'messages',
    labels: {},
    help: 'Messages fanned out and neither delivered, dropped nor abandoned yet, of all members.',
  },
  queueBytes: {
    name: 'roomcast_queue_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: {},
    help: 'Memory held by the queues of all members; a message that many have queued counts once.',
  },
  queueLimitBytes: {
    name: 'roomcast_queue_limit_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: {},
    help: 'What roomcast_queue_bytes may come to before the longest stalled members are evicted.',
  },
  deliverySeconds: {
    name: 'roomcast_delivery_seconds',
    type: 'histogram',
    unit: 'seconds',
    labels: { transport: TRANSPORTS, consumer: CONSUMERS },
    buckets: NETWORK_SECONDS,
    help: 'Time from a publish being accepted until the kernel had the message for one member.',
  },
  queueWaitSeconds: {
    name: 'roomcast_queue_wait_seconds',
    type: 'histogram',
    unit: 'seconds',
    labels: { transport: TRANSPORTS, consumer: CONSUMERS },
    buckets: NETWORK_SECONDS,
    help: 'Time a message waited in the queue of a member before it was handed to the transport.',
  },
  flushSeconds: {
    name: 'roomcast_flush_seconds',
    type: 'histogram',
    unit: 'seconds',
    labels: {},
    buckets: RUN_SECONDS,
    help: 'Time one run of the fan-out held the event loop before it was done or yielded.',
  },
  memberRttSeconds: {
    name: 'roomcast_member_rtt_seconds',
    type: 'histogram',
    unit: 'seconds',
    labels: { transport: TRANSPORTS },
    buckets: NETWORK_SECONDS,
    help: 'Time from a heartbeat being sent until its answer came.',
  },
  members: {
    name: 'roomcast_members',
    type: 'gauge',
    unit: 'members',
    labels: { transport: TRANSPORTS },
    help: 'Members connected.',
  },
  slowMembers: {
    name: 'roomcast_slow_members',
    type: 'gauge',
    unit: 'members',
    labels: {},
    help: 'Members that are not healthy: lagging or shedding.',
  },
  membersLagAtMost: {
    name: 'roomcast_members_lag_at_most',
    type: 'gauge',
    unit: 'members',
    labels: { bound: LAG_BOUNDS.map((bound) => (Number.isFinite(bound) ? String(bound) : '+Inf')) },
    help: 'Members whose oldest undelivered message is at most this many seconds old. Cumulative, like the buckets of a histogram.',
  },
  topMemberLagSeconds: {
    name: 'roomcast_top_member_lag_seconds',
    type: 'gauge',
    unit: 'seconds',
    labels: { rank: RANKS },
    help: 'Age of the oldest undelivered message of the members furthest behind. GET /v1/members?sort=lag says who they are.',
  },
  topMemberQueueBytes: {
    name: 'roomcast_top_member_queue_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: { rank: RANKS },
    help: 'Bytes queued for the members that have most, shared messages included. GET /v1/members?sort=queue says who they are.',
  },
  rooms: {
    name: 'roomcast_rooms',
    type: 'gauge',
    unit: 'rooms',
    labels: {},
    help: 'Rooms somebody is in.',
  },
  opened: {
    name: 'roomcast_connections_opened_total',
    type: 'counter',
    unit: 'connections',
    labels: { transport: TRANSPORTS },
    help: 'Connections opened.',
  },
  closed: {
    name: 'roomcast_connections_closed_total',
    type: 'counter',
    unit: 'connections',
    labels: { transport: TRANSPORTS, reason: END_REASONS },
    help: 'Connections ended, by a reason of the server, a close of the client, or lost.',
  },
  evicted: {
    name: 'roomcast_evictions_total',
    type: 'counter',
    unit: 'members',
    labels: { reason: END_REASONS },
    help: 'Members the server ended because they were too slow or too fast, or did not answer.',
  },
  refused: {
    name: 'roomcast_refusals_total',
    type: 'counter',
    unit: 'commands',
    labels: { code: REFUSAL_CODES },
    help: 'Commands and HTTP requests refused with a coded error.',
  },
  socketsRefused: {
    name: 'roomcast_sockets_refused_total',
    type: 'counter',
    unit: 'connections',
    labels: { reason: SOCKET_REFUSALS },
    help: "Connections ended before they were a member's: all places are taken, their address has its share, or the system refused to accept (each attempt is counted).",
  },
  sentBytes: {
    name: 'roomcast_sent_bytes_total',
    type: 'counter',
    unit: 'bytes',
    labels: { transport: TRANSPORTS },
    help: 'Bytes handed to the kernel for members, framing included.',
  },
  lockWaitSeconds: {
    name: 'roomcast_lock_wait_seconds',
    type: 'histogram',
    unit: 'seconds',
    labels: LOCK_LABELS,
    buckets: LOCK_SECONDS,
    help: 'Time from asking for a lock until it was had, or not; 0 for one that was free.',
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
    help: 'Time others lost waiting for a lock, charged to the place in the code that held it.',
  },
  lockAcquisitions: {
    name: 'roomcast_lock_acquisitions_total',
    type: 'counter',
    unit: 'requests',
    labels: { ...LOCK_LABELS, result: LOCK_RESULTS },
    help: 'Requests for a lock, by how they ended.',
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
    unit: 'seconds',
    labels: LOCK_LABELS,
    help: 'How long the longest waiting request has waited; 0 without one.',
  },
  lockOldestHoldSeconds: {
    name: 'roomcast_lock_oldest_hold_seconds',
    type: 'gauge',
    unit: 'seconds',
    labels: LOCK_LABELS,
    help: 'How long the lock held longest has been held; 0 without one.',
  },
  lockReports: {
    name: 'roomcast_lock_reports_total',
    type: 'counter',
    unit: 'incidents',
    labels: { kind: LOCK_REPORTS },
    help: 'Incidents the lock detector has found. A deadlock is certain, the others are suspicions.',
  },
  lockDeadlockedTasks: {
    name: 'roomcast_lock_deadlocked_tasks',
    type: 'gauge',
    unit: 'tasks',
    labels: {},
    help: 'Tasks that are in a deadlock now.',
  },
  buildInfo: {
    name: 'roomcast_build_info',
    type: 'gauge',
    unit: 'info',
    labels: { version: null, node: null },
    help: 'Always 1; the labels say which roomcast and which Node runs.',
  },
  processCpuUserSeconds: {
    name: 'process_cpu_user_seconds_total',
    type: 'counter',
    unit: 'seconds',
    labels: {},
    help: 'CPU time of this process outside the kernel.',
  },
  processCpuSystemSeconds: {
    name: 'process_cpu_system_seconds_total',
    type: 'counter',
    unit: 'seconds',
    labels: {},
    help: 'CPU time of this process in the kernel.',
  },
  processCpuSeconds: {
    name: 'process_cpu_seconds_total',
    type: 'counter',
    unit: 'seconds',
    labels: {},
    help: 'CPU time of this process, user and system.',
  },
  processStartTimeSeconds: {
    name: 'process_start_time_seconds',
    type: 'gauge',
    unit: 'seconds',
    labels: {},
    help: 'When this process started, in seconds since 1970.',
  },
  processResidentMemoryBytes: {
    name: 'process_resident_memory_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: {},
    help: 'Resident memory of this process.',
  },
  processOpenFds: {
    name: 'process_open_fds',
    type: 'gauge',
    unit: 'descriptors',
    labels: {},
    help: 'Open file descriptors; one a connection. NaN where the system does not tell.',
  },
  processMaxFds: {
    name: 'process_max_fds',
    type: 'gauge',
    unit: 'descriptors',
    labels: {},
    help: 'File descriptors this process may have open. NaN where the system does not tell.',
  },
  nodejsHeapTotalBytes: {
    name: 'nodejs_heap_size_total_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: {},
    help: 'Size of the JavaScript heap.',
  },
  nodejsHeapUsedBytes: {
    name: 'nodejs_heap_size_used_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: {},
    help: 'Used part of the JavaScript heap.',
  },
  nodejsExternalMemoryBytes: {
    name: 'nodejs_external_memory_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: {},
    help: 'Memory of buffers and other objects outside the JavaScript heap.',
  },
  nodejsEventLoopLagP50Seconds: {
    name: 'nodejs_eventloop_lag_p50_seconds',
    type: 'gauge',
    unit: 'seconds',
    labels: {},
    help: 'How late the event loop was: median of the worst ten seconds of the last minute, sampled every 10 ms.',
  },
  nodejsEventLoopLagP99Seconds: {
    name: 'nodejs_eventloop_lag_p99_seconds',
    type: 'gauge',
    unit: 'seconds',
    labels: {},
    help: 'How late the event loop was: 99th percentile of the worst ten seconds of the last minute, sampled every 10 ms.',
  },
  nodejsEventLoopLagMaxSeconds: {
    name: 'nodejs_eventloop_lag_max_seconds',
    type: 'gauge',
    unit: 'seconds',
    labels: {},
    help: 'How late the event loop was: worst of the last minute, sampled every 10 ms.',
  },
  nodejsGcDurationSeconds: {
    name: 'nodejs_gc_duration_seconds',
    type: 'histogram',
    unit: 'seconds',
    labels: { kind: GC_KINDS },
    buckets: [0.0001, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1],
    help: 'Pauses for garbage collection, by kind.',
  },
} as const satisfies Record<string, Metric>;

export type MetricKey = keyof typeof CATALOGUE;
