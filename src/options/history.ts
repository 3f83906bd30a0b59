/** Options of the rooms' history (V18), some of them settable per namespace. */
import { DAY, GIB, integer } from './schema.js';

const HISTORY = 'History (top level: the namespace "default")';

/** Settable per namespace. */
export const historyPolicy = {
  historyMessages: integer([0, 0, 1_000_000], {
    group: HISTORY,
    unit: 'messages',
    zero: 'none',
    description: 'Messages kept per room.',
  }),
  historyBytes: integer([1_048_576, 1024, GIB], {
    group: HISTORY,
    unit: 'bytes',
    description: 'Bytes kept per room.',
  }),
  historyMs: integer([300_000, 1000, 7 * DAY], {
    group: HISTORY,
    unit: 'ms',
    description: 'Time that a message is kept.',
  }),
};

export const history = {
  ...historyPolicy,
  maxHistoryMessages: integer([1000, 1, 100_000], {
    group: HISTORY,
    unit: 'messages',
    description: 'Messages returned for one history request.',
  }),
  historyBytesTotal: integer([134_217_728, 1024, 1024 * GIB], {
    group: HISTORY,
    unit: 'bytes',
    description:
      'History bytes of all rooms; above it, the room longest without a publish loses its history.',
  }),
  idleRooms: integer([10_000, 0, 10_000_000], {
    group: HISTORY,
    unit: 'rooms',
    zero: 'none',
    description:
      'Rooms without members that keep their position and history; above it, the longest idle one starts a new epoch.',
  }),
};
