/**
 * All options of the server, each defined once in the file of its owner: name, default, unit, range,
 * meaning. Flags (kebab-case), environment variables (ROOMCAST_ and upper snake case), the keys of a
 * `--config` file and the text of `--help` are derived from them, in this order.
 *
 * Not here: the sources of values (`sources.ts`), checks of the configuration (`config.ts`), the command
 * line and the help (`cli/`), the effect of an option (the code that uses it).
 */
import { broker } from './broker.js';
import { history } from './history.js';
import { identity } from './identity.js';
import { limits } from './limits.js';
import { listeners } from './listeners.js';
import { log } from './log.js';
import { ofNamespaces } from './per-namespace.js';
import { permissions } from './permissions.js';
import { presencePolicy } from './presence.js';
import { queues } from './queues.js';
import type { Schema } from './schema.js';
import { server } from './server.js';
import { time } from './time.js';
import { workers } from './workers.js';

export const schema = {
  ...server,
  ...listeners,
  ...workers,
  ...log,
  ...broker,
  ...limits,
  ...queues,
  ...history,
  ...presencePolicy,
  ...identity,
  ...permissions,
  ...ofNamespaces,
  ...time,
};

/** One option, with what the command line, the help and the loader need. */
export interface Option {
  readonly name: keyof typeof schema;
  /** Without the dashes. */
  readonly flag: string;
  readonly env: string;
  /** Allowed values, in words. */
  readonly allowed: string;
  readonly schema: Schema;
}

export const options: readonly Option[] = Object.entries<Schema>(schema).map(([name, each]) => {
  return {
    name: name as Option['name'],
    ...namesOf(name),
    allowed: allowed(each),
    schema: each,
  };
});

export const NAMES: readonly string[] = options.map(({ name }) => name);

const byName = new Map<string, Option>(options.map((option) => [option.name, option]));

export const optionNamed = (name: string): Option | undefined => byName.get(name);

/** The flag and the environment variable of an option. */
export function namesOf(name: string): { flag: string; env: string } {
  const flag = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return { flag, env: `ROOMCAST_${flag.replaceAll('-', '_').toUpperCase()}` };
}

/** Headings of `--help`, in order. */
export const GROUPS: readonly string[] = [...new Set(options.map((each) => each.schema.group))];

function allowed(kind: Schema): string {
  if (kind.enum) return `one of ${kind.enum.join(', ')}`;
  if (kind.type === 'boolean') return 'true or false';
  if (kind.type !== 'integer') return kind.allowed ?? '';
  const word = kind.zeroWord ? `; as a flag or variable also ${kind.zeroWord}` : '';
  const zero = kind.zero ? ` (0 = ${kind.zero}${word})` : '';
  return `${kind.minimum} to ${kind.maximum}${zero}`;
}
