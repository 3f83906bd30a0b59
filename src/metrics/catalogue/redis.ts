/** Metrics of rooms over Redis; all 0 with another broker. */
import type { Metric } from './metric.js';

export const redis = {
  redisLinks: {
    name: 'roomcast_redis_links_total',
    type: 'counter',
    unit: 'links',
    labels: {},
    help: 'Links to Redis that were made: one at the start, and one after each cut.',
  },
  redisTickLagSeconds: {
    name: 'roomcast_redis_tick_lag_seconds',
    type: 'gauge',
    aggregate: 'max',
    unit: 'seconds',
    labels: {},
    help: 'How long a message takes through Redis and back, as a number that each server sends itself shows every --broker-tick-ms; one that is still missing counts from when it was sent.',
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
    help: 'How many there may be before publishes are refused with room_busy.',
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
    help: 'What they may come to before publishes are refused with room_busy.',
  },
  redisSuspendedRooms: {
    name: 'roomcast_redis_suspended_rooms',
    type: 'gauge',
    unit: 'rooms',
    labels: {},
    help: 'Rooms whose deliveries are held back until it is known, or read, what lies before them.',
  },
  redisBackfilled: {
    name: 'roomcast_redis_backfilled_total',
    type: 'counter',
    unit: 'messages',
    labels: {},
    help: 'Messages that were read from the log after a cut or a hole, so that no member missed them.',
  },
  redisDuplicates: {
    name: 'roomcast_redis_duplicates_total',
    type: 'counter',
    unit: 'commits',
    labels: {},
    help: 'Deliveries that had been delivered before, and were left out.',
  },
  redisUnreadable: {
    name: 'roomcast_redis_unreadable_total',
    type: 'counter',
    unit: 'messages',
    labels: {},
    help: 'Deliveries that are not of our format: something else writes to our channels.',
  },
} as const satisfies Record<string, Metric>;
