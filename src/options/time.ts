/** Options of timeouts, in operation and at shutdown (V7, V8). */
import { DAY, integer } from './schema.js';

const TIME = 'Time';

export const time = {
  heartbeatMs: integer([25_000, 100, DAY], {
    group: TIME,
    unit: 'ms',
    description: 'Time between heartbeats; a peer that misses one is closed.',
  }),
  brokerTimeoutMs: integer([5000, 1, DAY], {
    group: TIME,
    unit: 'ms',
    description: 'Time limit for an answer of the broker.',
  }),
  recoverMaxMs: integer([60_000, 1000, 3_600_000], {
    group: TIME,
    unit: 'ms',
    description:
      'Time a returning member may take to receive what it missed; the rest becomes a gap.',
  }),
  lameDuckMs: integer([1000, 0, DAY], {
    group: TIME,
    unit: 'ms',
    zero: 'none',
    description:
      'At shutdown: time in which /readyz fails and everything else still works; at most half of shutdownGraceMs minus drainMs.',
  }),
  drainMs: integer([2000, 0, DAY], {
    group: TIME,
    unit: 'ms',
    zero: 'all at once',
    description: 'At shutdown: time over which the members are closed.',
  }),
  shutdownGraceMs: integer([8000, 0, DAY], {
    group: TIME,
    unit: 'ms',
    zero: 'do not wait',
    description: 'At shutdown: time after which the remaining connections are reset.',
  }),
};
