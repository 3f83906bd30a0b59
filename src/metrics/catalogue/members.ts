/** Metrics of members and rooms: how many, and how far behind. */
import { TRANSPORTS } from '../../transport/transport.js';
import type { Metric } from './metric.js';

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
    help: 'Age of the oldest undelivered message of the members furthest behind. GET /v1/members?sort=lag says who they are.',
  },
  topMemberQueueBytes: {
    name: 'roomcast_top_member_queue_bytes',
    type: 'gauge',
    aggregate: 'ranks',
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
  roomsMax: {
    name: 'roomcast_rooms_max',
    type: 'gauge',
    unit: 'rooms',
    labels: {},
    help: 'Rooms there may be: --max-rooms; infinite without a limit.',
  },
} as const satisfies Record<string, Metric>;
