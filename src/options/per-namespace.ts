/** The options that can be set per namespace, and the option `namespaces` that contains them. */
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
      "Queue policy, history, presence and permission options for rooms whose name begins with a namespace and ':'.",
    allowed: 'JSON like {"chat":{"policy":"disconnect","publishBy":"users"}}',
  }),
};
