/** Metrics of history, recovery and history requests. */
import { EVICTIONS } from '../../broker/history.js';
import { RECOVERIES, REPLAYED, REPLAYS } from '../../room/observer.js';
import type { Metric } from './metric.js';

export const history = {
  historyMessages: {
    name: 'roomcast_history_messages',
    type: 'gauge',
    unit: 'messages',
    labels: {},
    help: 'Messages in the history of this process; 0 if the broker keeps them elsewhere.',
  },
  historyBytes: {
    name: 'roomcast_history_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: {},
    help: 'Memory held by the history of this process.',
  },
  historyLimitBytes: {
    name: 'roomcast_history_limit_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: {},
    help: 'Limit of roomcast_history_bytes, above which the room longest without a publish loses its history; 0 if the broker keeps it elsewhere.',
  },
  historyRooms: {
    name: 'roomcast_history_rooms',
    type: 'gauge',
    unit: 'rooms',
    labels: {},
    help: 'Rooms with history in this process.',
  },
  historyEvicted: {
    name: 'roomcast_history_evicted_total',
    type: 'counter',
    unit: 'messages',
    labels: { reason: EVICTIONS },
    help: 'Messages removed from history, by the bound that removed them: count, bytes and age of their room, total of all rooms, idle for a room that was removed, purge by request.',
  },
  recoveries: {
    name: 'roomcast_recoveries_total',
    type: 'counter',
    unit: 'joins',
    labels: { result: RECOVERIES },
    help: 'Joins that asked for a position or for the latest messages, by result: complete; partial: some messages are no longer kept; epoch_changed or ahead: the position is from another epoch or beyond the latest message.',
  },
  replays: {
    name: 'roomcast_replays',
    type: 'gauge',
    unit: 'joins',
    labels: {},
    help: 'Joins whose member has not received all its missed messages yet.',
  },
  backfills: {
    name: 'roomcast_backfills',
    type: 'gauge',
    unit: 'members',
    labels: {},
    help: 'Members with a history request in progress.',
  },
  replayed: {
    name: 'roomcast_replayed_total',
    type: 'counter',
    unit: 'messages',
    labels: { how: REPLAYS, result: REPLAYED },
    help: 'Earlier messages to replay after a join or for a request, by result: sent; expired: no longer kept; abandoned: the member left or did not catch up in time. They are not part of the fan-out.',
  },
  replayedBatches: {
    name: 'roomcast_replayed_batches_total',
    type: 'counter',
    unit: 'batches',
    labels: { how: REPLAYS },
    help: 'Batches of earlier messages sent to members; for history requests, pages.',
  },
} as const satisfies Record<string, Metric>;
