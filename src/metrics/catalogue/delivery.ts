/** Metrics of messages: outcomes, queue sizes, latencies (V10). */
import { DROP_REASONS } from '../../room/observer.js';
import { TRANSPORTS } from '../../transport/transport.js';
import type { Metric } from './metric.js';

/** Health of the member when its message was sent: the split shows whether slow members delay others. */
export const CONSUMERS = ['healthy', 'slow'] as const;

/** 100 µs to 10 s: the latency of a message or a heartbeat over a network. */
const NETWORK_SECONDS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

/** 10 µs to 100 ms, around the 5 ms after which a run of the fan-out yields. */
const RUN_SECONDS = [
  0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1,
];

export const delivery = {
  published: {
    name: 'roomcast_published_total',
    type: 'counter',
    unit: 'messages',
    labels: {},
    help: 'Messages that the broker accepted and delivered to this server.',
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
    help: 'Messages passed completely to the kernel of this host, counted per member.',
  },
  dropped: {
    name: 'roomcast_dropped_total',
    type: 'counter',
    unit: 'messages',
    labels: { reason: DROP_REASONS },
    help: 'Messages dropped from the queue of a member, by the overflow policy that dropped them. The member gets a gap.',
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
    help: 'Messages fanned out and not yet delivered, dropped or abandoned, of all members.',
  },
  queueBytes: {
    name: 'roomcast_queue_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: {},
    help: 'Memory held by the queues of all members; a message queued for many members counts once.',
  },
  queueLimitBytes: {
    name: 'roomcast_queue_limit_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: {},
    help: 'Limit of roomcast_queue_bytes, above which the longest stalled members are evicted.',
  },
  deliverySeconds: {
    name: 'roomcast_delivery_seconds',
    type: 'histogram',
    unit: 'seconds',
    labels: { transport: TRANSPORTS, consumer: CONSUMERS },
    buckets: NETWORK_SECONDS,
    help: 'Time from the acceptance of a publish until the kernel had the message for one member.',
  },
  queueWaitSeconds: {
    name: 'roomcast_queue_wait_seconds',
    type: 'histogram',
    unit: 'seconds',
    labels: { transport: TRANSPORTS, consumer: CONSUMERS },
    buckets: NETWORK_SECONDS,
    help: 'Time a message waited in the queue of a member before the transport got it.',
  },
  flushSeconds: {
    name: 'roomcast_flush_seconds',
    type: 'histogram',
    unit: 'seconds',
    labels: {},
    buckets: RUN_SECONDS,
    help: 'Time that one run of the fan-out held the event loop before it finished or yielded.',
  },
  memberRttSeconds: {
    name: 'roomcast_member_rtt_seconds',
    type: 'histogram',
    unit: 'seconds',
    labels: { transport: TRANSPORTS },
    buckets: NETWORK_SECONDS,
    help: 'Time from sending a heartbeat until its answer arrived.',
  },
} as const satisfies Record<string, Metric>;
