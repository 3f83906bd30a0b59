/** Namespaces: the namespace of a room, and the policy of each. */
import type { Config, HistoryPolicy, PresencePolicy, QueuePolicy } from './config.js';
import { historyPolicy } from './history.js';
import type { perNamespace } from './per-namespace.js';
import { presencePolicy } from './presence.js';
import { queuePolicy } from './queues.js';
import type { Values } from './schema.js';

/** The part of a room's name before the first `:`; `default` without one. */
export function namespaceOf(room: string): string {
  const colon = room.indexOf(':');
  return colon < 0 ? 'default' : room.slice(0, colon);
}

/** The values of these options in a namespace: its own settings over those of the top level. */
export function settingsFor<Of extends Partial<typeof perNamespace>>(
  config: Config,
  namespace: string,
  of: Of,
): Values<Of> {
  const own = config.namespaces[namespace] ?? {};
  const settings = (Object.keys(of) as (keyof typeof perNamespace)[]).map((name) => [
    name,
    Object.hasOwn(own, name) ? own[name] : config[name],
  ]);
  return Object.fromEntries(settings) as Values<Of>;
}

/** The queue policy of a namespace. */
export function policyFor(config: Config, namespace: string): QueuePolicy {
  return settingsFor(config, namespace, queuePolicy);
}

/** Every namespace with settings, `default` first: the label set of the metrics (V9). */
export function namespaceNames(config: Config): string[] {
  return ['default', ...Object.keys(config.namespaces)];
}

/**
 * The queue policy of every namespace with settings. Equal policies are one object, the one in `before` if it
 * has one: a member has one queue for all of them.
 */
export const namespaces = (
  config: Config,
  before: Iterable<QueuePolicy> = [],
): Map<string, QueuePolicy> => byNamespace(config, queuePolicy, before);

/** The shortest time that any peer has to read data or to answer a ping. */
export function leastPatienceMs(config: Config): number {
  const stalls = Array.from(namespaces(config).values(), ({ stallAfterMs }) => stallAfterMs);
  return Math.min(config.heartbeatMs || Number.POSITIVE_INFINITY, ...stalls);
}

/** The history policy of every namespace with settings. */
export const histories = (config: Config): Map<string, HistoryPolicy> =>
  byNamespace(config, historyPolicy, []);

/** The presence policy of every namespace with settings. */
export const presences = (config: Config): Map<string, PresencePolicy> =>
  byNamespace(config, presencePolicy, []);

function byNamespace<Of extends Partial<typeof perNamespace>>(
  config: Config,
  of: Of,
  before: Iterable<Values<Of>>,
): Map<string, Values<Of>> {
  const known = new Map(Array.from(before, (settings) => [JSON.stringify(settings), settings]));
  return new Map(
    namespaceNames(config).map((name) => {
      const settings = settingsFor(config, name, of);
      const text = JSON.stringify(settings);
      if (!known.has(text)) known.set(text, settings);
      return [name, known.get(text) as Values<Of>];
    }),
  );
}
