/**
 * Which options a server that runs can take anew, and a plain refusal of the others (V14).
 *
 * Not here: taking them (`compose.ts`, `listeners.ts`), reading them again (`cli/`).
 */
import { ConfigError } from '../errors.js';
import { show } from './check.js';
import type { Config } from './config.js';
import { options } from './index.js';
import { perNamespace } from './per-namespace.js';

/** Read where they are used, or put in place by who uses them. */
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

/** @throws ConfigError `needs_restart` with a line for each option that would have to change and cannot */
export function checkReload(now: Config, next: Config): void {
  const errors = options
    .filter(({ name }) => !RELOADED.has(name) && !isSame(now[name], next[name]))
    .map(({ name, schema }) => {
      const [value, before] = schema.secret
        ? ['(not shown)', 'another']
        : [show(next[name]), show(now[name])];
      return new ConfigError(
        `${name} ${value} takes a restart: a server that runs keeps ${before}`,
        { code: 'needs_restart', option: name, value: schema.secret ? undefined : next[name] },
      );
    });
  if (errors.length > 0) throw ConfigError.of(errors);
}

const isSame = (one: unknown, other: unknown) => JSON.stringify(one) === JSON.stringify(other);
