/** Options of the queues of members and rooms (V3). */
import { choice, DAY, GIB, integer } from './schema.js';

const QUEUES = 'Queues (top level: the namespace "default")';

const POLICIES = ['drop-oldest', 'drop-newest', 'latest-by-key', 'disconnect'] as const;

/** Settable per namespace; a member has a queue for each distinct policy. */
export const queuePolicy = {
  policy: choice('drop-oldest', POLICIES, {
    group: QUEUES,
    unit: 'policy',
    description: 'What happens when the queue of a member is full.',
  }),
  queueMessages: integer([1024, 1, 1_000_000], {
    group: QUEUES,
    unit: 'messages',
    description: 'Messages that may wait for one member.',
  }),
  queueBytes: integer([1_048_576, 1024, GIB], {
    group: QUEUES,
    unit: 'bytes',
    description: 'Bytes that may wait for one member.',
  }),
  disconnectGraceMs: integer([5000, 0, DAY], {
    group: QUEUES,
    unit: 'ms',
    zero: 'at once',
    description: 'With policy disconnect: time from a full queue to the close.',
  }),
  lagAfterMs: integer([250, 1, DAY], {
    group: QUEUES,
    unit: 'ms',
    description: 'A member with messages waiting this long is lagging.',
  }),
  recoverAfterMs: integer([1000, 1, DAY], {
    group: QUEUES,
    unit: 'ms',
    description: 'A queue under half full for this long is healthy again.',
  }),
  stallAfterMs: integer([30_000, 1, DAY], {
    group: QUEUES,
    unit: 'ms',
    description: 'A member that reads no byte of its waiting data for this long is evicted.',
  }),
};

export const queues = {
  ...queuePolicy,
  queueBytesTotal: integer([268_435_456, 1024, 1024 * GIB], {
    group: QUEUES,
    unit: 'bytes',
    description: 'Bytes waiting for all members; above it the longest stalled are evicted.',
  }),
  controlMessages: integer([1024, 16, 1_000_000], {
    group: QUEUES,
    unit: 'frames',
    description: 'Replies and notices that may wait for one member before it is evicted.',
  }),
  controlBytes: integer([65_536, 8192, GIB], {
    group: QUEUES,
    unit: 'bytes',
    description: 'Bytes of replies and notices that may wait for one member before it is evicted.',
  }),
  roomBacklogBytes: integer([4_194_304, 1024, GIB], {
    group: QUEUES,
    unit: 'bytes',
    description:
      'Bytes of one room that may wait for fan-out; for all rooms together: --queue-bytes-total.',
  }),
};
