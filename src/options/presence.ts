/** Options of who is told who is in a room (V19), all of which a namespace may have of its own. */
import { choice, integer } from './schema.js';

const PRESENCE = 'Presence (top level: the namespace "default")';

export const presencePolicy = {
  presence: choice('off', ['off', 'count', 'users'], {
    group: PRESENCE,
    unit: 'what',
    description: 'What members may ask to be told of who is in a room: nothing, how many, or who.',
  }),
  presenceMaxUsers: integer([1000, 1, 100_000], {
    group: PRESENCE,
    unit: 'users',
    description: 'Users of a room above which it is only told how many there are.',
  }),
  presenceIntervalMs: integer([1000, 0, 60_000], {
    group: PRESENCE,
    unit: 'ms',
    zero: 'none',
    description: 'Time between two changes that are told, for each 1000 who are told.',
  }),
  presenceLingerMs: integer([10_000, 0, 300_000], {
    group: PRESENCE,
    unit: 'ms',
    zero: 'none',
    description:
      'Time that a user stays in the list whose last connection has ended: a reload is no event.',
  }),
};
