/** Metrics of the Redis broker; all 0 with another broker. */
import type { Metric } from './metric.js';

export const redis = {
  redisLinks: {
    name: 'roomcast_redis_links_total',
    type: 'counter',
    unit: 'links',
    labels: {},
    help: 'Connections established to Redis: one at the start, and one after each loss.',
  },
  redisTickLagSeconds: {
    name: 'roomcast_redis_tick_lag_seconds',
    type: 'gauge',
    aggregate: 'max',
    unit: 'seconds',
    labels: {},
    help: 'Latency of a message through Redis and back, measured by a tick that each server sends itself every --broker-tick-ms; a missing tick counts from when it was sent.',
  },
  redisUnsettled: {
    name: 'roomcast_redis_unsettled_messages',
    type: 'gauge',
    unit: 'messages',
    labels: {},
    help: 'Messages that Redis has not confirmed yet.',
  },
  redisUnsettledMax: {
    name: 'roomcast_redis_unsettled_messages_max',
    type: 'gauge',
    unit: 'messages',
    labels: {},
    help: 'Limit of unconfirmed messages, above which publishes are refused with room_busy.',
  },
  redisUnsettledBytes: {
    name: 'roomcast_redis_unsettled_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: {},
    help: 'Bytes of the messages that Redis has not confirmed yet.',
  },
  redisUnsettledLimitBytes: {
    name: 'roomcast_redis_unsettled_limit_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: {},
    help: 'Limit of unconfirmed bytes, above which publishes are refused with room_busy.',
  },
  redisSuspendedRooms: {
    name: 'roomcast_redis_suspended_rooms',
    type: 'gauge',
    unit: 'rooms',
    labels: {},
    help: 'Rooms whose deliveries are held back until the messages before them are known or read.',
  },
  redisBackfilled: {
    name: 'roomcast_redis_backfilled_total',
    type: 'counter',
    unit: 'messages',
    labels: {},
    help: 'Messages read from the log after a lost connection or a hole, so that no member missed them.',
  },
  redisDuplicates: {
    name: 'roomcast_redis_duplicates_total',
    type: 'counter',
    unit: 'commits',
    labels: {},
    help: 'Deliveries that repeat an earlier one and were skipped.',
  },
  redisUnreadable: {
    name: 'roomcast_redis_unreadable_total',
    type: 'counter',
    unit: 'messages',
    labels: {},
    help: 'Deliveries that are not in our format: something else writes to our channels.',
  },
} as const satisfies Record<string, Metric>;
