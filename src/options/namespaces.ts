/** Namespaces: which a room is in, and the policy of each. */
import type { Config, QueuePolicy } from './config.js';
import { queuePolicy } from './queues.js';

/** The part of a room's name before the first `:`; `default` without one. */
export function namespaceOf(room: string): string {
  const colon = room.indexOf(':');
  return colon < 0 ? 'default' : room.slice(0, colon);
}

/** The policy of a namespace: its own settings over those of the top level. */
export function policyFor(config: Config, namespace: string): QueuePolicy {
  const base = Object.keys(queuePolicy).map((name) => [name, config[name as keyof QueuePolicy]]);
  return { ...Object.fromEntries(base), ...config.namespaces[namespace] } as QueuePolicy;
}

/** Every namespace with settings, `default` first: the label set of the metrics (V9). */
export function namespaces(config: Config): Map<string, QueuePolicy> {
  const names = ['default', ...Object.keys(config.namespaces)];
  return new Map(names.map((name) => [name, policyFor(config, name)]));
}
