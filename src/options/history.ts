/** Options of what rooms keep of their past, and how long (V18), and what a namespace may have of its own. */
import { DAY, GIB, integer } from './schema.js';

const HISTORY = 'History (top level: the namespace "default")';

/** What each namespace may have of its own. */
export const historyPolicy = {
  historyMessages: integer([0, 0, 1_000_000], {
    group: HISTORY,
    unit: 'messages',
    zero: 'none',
    description: 'Messages that a room keeps.',
  }),
  historyBytes: integer([1_048_576, 1024, GIB], {
    group: HISTORY,
    unit: 'bytes',
    description: 'Bytes that a room keeps.',
  }),
  historyMs: integer([300_000, 1000, 7 * DAY], {
    group: HISTORY,
    unit: 'ms',
    description: 'Time that a room keeps a message.',
  }),
};

export const history = {
  ...historyPolicy,
  maxHistoryMessages: integer([1000, 1, 100_000], {
    group: HISTORY,
    unit: 'messages',
    description: 'Messages that a member is given for one request for history.',
  }),
  historyBytesTotal: integer([134_217_728, 1024, 1024 * GIB], {
    group: HISTORY,
    unit: 'bytes',
    description:
      'Bytes that all rooms keep; above it the room longest without a publish loses its history.',
  }),
  idleRooms: integer([10_000, 0, 10_000_000], {
    group: HISTORY,
    unit: 'rooms',
    zero: 'none',
    description:
      'Rooms nobody is in whose numbers and history are kept; one more, and the longest idle starts over in a new epoch.',
  }),
};
