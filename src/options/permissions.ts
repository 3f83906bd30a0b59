/** Permissions in the rooms of a namespace. `auth/permissions.ts` defines the values. */
import { choice } from './schema.js';

const PERMISSIONS = 'Permissions (top level: the namespace "default")';

export const WHO = ['auto', 'anyone', 'users', 'owner', 'grant', 'nobody'] as const;

/** Settable per namespace. */
export const permissions = {
  joinBy: choice('auto', WHO, {
    group: PERMISSIONS,
    unit: 'who',
    description:
      'Who may join, besides users whose token permits it; auto: anyone if there are no keys, else only those users. nobody: not even those.',
  }),
  publishBy: choice('auto', WHO, {
    group: PERMISSIONS,
    unit: 'who',
    description: 'Who may publish; auto as above. The HTTP API always may.',
  }),
  historyBy: choice('auto', WHO, {
    group: PERMISSIONS,
    unit: 'who',
    description: 'Who may read earlier messages; auto: those who may join.',
  }),
  presenceBy: choice('auto', WHO, {
    group: PERMISSIONS,
    unit: 'who',
    description: 'Who may see which users are in a room; auto: those who may join.',
  }),
};
