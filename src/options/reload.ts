/**
 * Which options a running server can change, and the errors for all others (V14).
 *
 * Not here: applying them (`compose.ts`, `listeners.ts`), reading them again (`cli/`).
 */
import { ConfigError } from '../errors.js';
import { show } from './check.js';
import type { Config } from './config.js';
import { options } from './index.js';
import { perNamespace } from './per-namespace.js';

/** Read at each use, or applied by the owner of the state. */
const RELOADED: ReadonlySet<string> = new Set<keyof Config>([
  ...(Object.keys(perNamespace) as (keyof typeof perNamespace)[]),
  'namespaces',
  'apiKey',
  'tokenSecret',
  'tokenKeyFile',
  'logLevel',
  'maxRooms',
  'maxRoomsPerMember',
  'maxCommandBytes',
  'maxJsonDepth',
  'publishRate',
  'joinRate',
  'historyRate',
  'maxHistoryMessages',
  'lameDuckMs',
  'drainMs',
  'shutdownGraceMs',
]);

/** @throws ConfigError `needs_restart` with a line for each changed option that needs a restart */
export function checkReload(now: Config, next: Config): void {
  const errors = options
    .filter(({ name }) => !RELOADED.has(name) && !isSame(now[name], next[name]))
    .map(({ name, schema }) => {
      const [value, before] = schema.secret
        ? ['(not shown)', 'another']
        : [show(next[name]), show(now[name])];
      return new ConfigError(
        `${name} ${value} needs a restart: the running server keeps ${before}`,
        { code: 'needs_restart', option: name, value: schema.secret ? undefined : next[name] },
      );
    });
  if (errors.length > 0) throw ConfigError.of(errors);
}

const isSame = (one: unknown, other: unknown) => JSON.stringify(one) === JSON.stringify(other);
