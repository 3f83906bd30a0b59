/** Options of presence (V19), all settable per namespace. */
import { choice, integer } from './schema.js';

const PRESENCE = 'Presence (top level: the namespace "default")';

export const presencePolicy = {
  presence: choice('off', ['off', 'count', 'users'], {
    group: PRESENCE,
    unit: 'what',
    description:
      'Presence that members may request: none, the number of users, or the list of users.',
  }),
  presenceMaxUsers: integer([1000, 1, 100_000], {
    group: PRESENCE,
    unit: 'users',
    description: 'Users in a room above which presence is a number only.',
  }),
  presenceIntervalMs: integer([1000, 0, 60_000], {
    group: PRESENCE,
    unit: 'ms',
    zero: 'none',
    description: 'Time between two presence updates, per 1000 watchers of a room.',
  }),
  presenceLingerMs: integer([10_000, 0, 300_000], {
    group: PRESENCE,
    unit: 'ms',
    zero: 'none',
    description:
      'Time that a user stays in the list after the last connection has ended, so that a reload changes nothing.',
  }),
};
