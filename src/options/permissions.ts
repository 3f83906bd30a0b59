/** Options of who may do what in the rooms of a namespace. What the values mean: `auth/permissions.ts`. */
import { choice } from './schema.js';

const PERMISSIONS = 'Permissions (top level: the namespace "default")';

export const WHO = ['auto', 'anyone', 'users', 'owner', 'grant', 'nobody'] as const;

/** What each namespace may have of its own. */
export const permissions = {
  joinBy: choice('auto', WHO, {
    group: PERMISSIONS,
    unit: 'who',
    description:
      'Who may join beside those whose token says so; auto: anyone without keys, with keys only those. nobody: no token helps.',
  }),
  publishBy: choice('auto', WHO, {
    group: PERMISSIONS,
    unit: 'who',
    description: 'Who may publish; auto as above. The HTTP API always may.',
  }),
  historyBy: choice('auto', WHO, {
    group: PERMISSIONS,
    unit: 'who',
    description: 'Who may read what was published before; auto: whoever may join.',
  }),
  presenceBy: choice('auto', WHO, {
    group: PERMISSIONS,
    unit: 'who',
    description: 'Who may be told who is in a room; auto: whoever may join.',
  }),
};
