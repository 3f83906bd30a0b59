/** Metrics of what rooms keep of their past, and of members that come back for it or read it again. */
import { EVICTIONS } from '../../broker/history.js';
import { RECOVERIES, REPLAYED, REPLAYS } from '../../room/observer.js';
import type { Metric } from './metric.js';

export const history = {
  historyMessages: {
    name: 'roomcast_history_messages',
    type: 'gauge',
    unit: 'messages',
    labels: {},
    help: 'Messages that this process keeps of the past of rooms; 0 where the broker keeps them elsewhere.',
  },
  historyBytes: {
    name: 'roomcast_history_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: {},
    help: 'Memory held by those messages.',
  },
  historyLimitBytes: {
    name: 'roomcast_history_limit_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: {},
    help: 'What roomcast_history_bytes may come to before the room that is longest without a publish loses its history; 0 where the broker keeps it elsewhere.',
  },
  historyRooms: {
    name: 'roomcast_history_rooms',
    type: 'gauge',
    unit: 'rooms',
    labels: {},
    help: 'Rooms of which anything is kept.',
  },
  historyEvicted: {
    name: 'roomcast_history_evicted_total',
    type: 'counter',
    unit: 'messages',
    labels: { reason: EVICTIONS },
    help: 'Messages kept no longer, by the bound that said so: count, bytes and age of their room, total of all rooms, idle for a room that was forgotten, purge by request.',
  },
  recoveries: {
    name: 'roomcast_recoveries_total',
    type: 'counter',
    unit: 'joins',
    labels: { result: RECOVERIES },
    help: 'Joins with a position, or with a wish for the latest messages, by what they were told: complete, partial where some of it is no longer kept, epoch_changed or ahead where the position is of another numbering.',
  },
  replays: {
    name: 'roomcast_replays',
    type: 'gauge',
    unit: 'joins',
    labels: {},
    help: 'Joins whose member is still on its way through what it has missed.',
  },
  backfills: {
    name: 'roomcast_backfills',
    type: 'gauge',
    unit: 'members',
    labels: {},
    help: 'Members that have a request for history under way.',
  },
  replayed: {
    name: 'roomcast_replayed_total',
    type: 'counter',
    unit: 'messages',
    labels: { how: REPLAYS, result: REPLAYED },
    help: 'Messages of before that a member was to get, after a join or by request: sent; expired, no longer kept; abandoned, since it left, or did not catch up in time. They are no part of the fan-out.',
  },
  replayedBatches: {
    name: 'roomcast_replayed_batches_total',
    type: 'counter',
    unit: 'batches',
    labels: { how: REPLAYS },
    help: 'Batches of messages of before that were handed to members; of a request, pages.',
  },
} as const satisfies Record<string, Metric>;
