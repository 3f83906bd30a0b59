/** Options of how long is waited, at work and at shutdown (V7, V8). */
import { DAY, integer } from './schema.js';

const TIME = 'Time';

export const time = {
  heartbeatMs: integer([25_000, 100, DAY], {
    group: TIME,
    unit: 'ms',
    description: 'Between heartbeats; a peer that misses one is closed.',
  }),
  brokerTimeoutMs: integer([5000, 1, DAY], {
    group: TIME,
    unit: 'ms',
    description: 'Time the broker has to answer.',
  }),
  recoverMaxMs: integer([60_000, 1000, 3_600_000], {
    group: TIME,
    unit: 'ms',
    description:
      'Time a member that comes back may take to read what it missed; the rest is a gap then.',
  }),
  lameDuckMs: integer([1000, 0, DAY], {
    group: TIME,
    unit: 'ms',
    zero: 'none',
    description:
      'At shutdown: time in which /readyz says no and all else goes on; at most half of what the grace has beside drainMs.',
  }),
  drainMs: integer([2000, 0, DAY], {
    group: TIME,
    unit: 'ms',
    zero: 'all at once',
    description: 'At shutdown: time over which members are told to go.',
  }),
  shutdownGraceMs: integer([8000, 0, DAY], {
    group: TIME,
    unit: 'ms',
    zero: 'do not wait',
    description: 'At shutdown: time until what is left is reset.',
  }),
};
