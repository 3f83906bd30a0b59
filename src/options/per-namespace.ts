/** The options that a namespace may have of its own, each from the file of its owner, and where they stand. */
import { historyPolicy } from './history.js';
import { permissions } from './permissions.js';
import { presencePolicy } from './presence.js';
import { queuePolicy } from './queues.js';
import { map, type Values } from './schema.js';

export const perNamespace = { ...queuePolicy, ...historyPolicy, ...presencePolicy, ...permissions };

export const ofNamespaces = {
  namespaces: map<Partial<Values<typeof perNamespace>>>({
    group: 'Namespaces',
    unit: 'json',
    description:
      "Any option of a queue's policy, a room's history, presence or permissions, for rooms whose name begins with a namespace and ':'.",
    allowed: 'JSON like {"chat":{"policy":"disconnect","publishBy":"users"}}',
  }),
};
