/** Metrics of members and rooms: numbers and lag. */
import { TRANSPORTS } from '../../transport/transport.js';
import type { Metric } from './metric.js';

/** Bounds of `membersLagAtMost`, in seconds. */
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

/** Number of ranks of `top_member_*`; /v1/members lists the members themselves. */
export const TOP = 10;

const RANKS = Array.from({ length: TOP }, (_, i) => String(i + 1));

export const members = {
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
    aggregate: 'ranks',
    unit: 'seconds',
    labels: { rank: RANKS },
    help: 'Age of the oldest undelivered message of the members furthest behind, by rank. GET /v1/members?sort=lag lists them.',
  },
  topMemberQueueBytes: {
    name: 'roomcast_top_member_queue_bytes',
    type: 'gauge',
    aggregate: 'ranks',
    unit: 'bytes',
    labels: { rank: RANKS },
    help: 'Bytes queued for the members with the longest queues, by rank; shared messages count for each. GET /v1/members?sort=queue lists them.',
  },
  rooms: {
    name: 'roomcast_rooms',
    type: 'gauge',
    unit: 'rooms',
    labels: {},
    help: 'Rooms with members.',
  },
  roomsMax: {
    name: 'roomcast_rooms_max',
    type: 'gauge',
    unit: 'rooms',
    labels: {},
    help: 'Maximum number of rooms: --max-rooms; infinite without a limit.',
  },
} as const satisfies Record<string, Metric>;
