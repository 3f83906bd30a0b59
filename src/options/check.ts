/**
 * Checks the value of one option and words the error: the option as it was given, the value, the allowed
 * values (V14). A secret is never quoted.
 *
 * Not here: checks of options against each other (`together.ts`), the sources of values (`sources.ts`).
 */
import { ConfigError } from '../errors.js';
import { closest } from './closest.js';
import { type Option, options } from './index.js';
import { perNamespace } from './per-namespace.js';
import { fits } from './schema.js';

/** Path inside the value of an option: field names and list indexes. */
export type Path = readonly (string | number)[];

/**
 * Returns the name of an option at its source: `--port`, `ROOMCAST_PORT`, `port in room.json at line 3,
 * column 9`. `within` describes a part of the value; `path` locates that part, its value or its key.
 */
export type Label = (within?: string | null, path?: Path, stands?: 'key' | 'value') => string;

/** All faults of the value; empty if it is allowed. */
export function check(option: Option, label: Label, value: unknown): ConfigError[] {
  return option.name === 'namespaces'
    ? checkNamespaces(option, label, value)
    : checkValue(option, label, value);
}

/** `label`: `name` as it was written at its source. */
export function unknownOption(
  label: string,
  name: string,
  candidates: readonly string[],
): ConfigError {
  const meant = closest(name, candidates);
  const hint = meant === null ? 'see roomcast serve --help' : `did you mean ${meant}?`;
  return new ConfigError(`${label} is not an option: ${hint}`, {
    code: 'unknown_option',
    option: name,
    allowed: meant,
  });
}

function checkValue(option: Option, label: Label, value: unknown): ConfigError[] {
  const { items } = option.schema;
  if (fits(option.schema, value)) return [];
  if (!items) return [notAllowed(option, label(), value)];
  if (!Array.isArray(value)) return [notAllowed(option, label(), value, true)];
  const wrong = value.flatMap((item, at) =>
    fits(items, item) ? [] : [notAllowed(option, label(null, [at]), item)],
  );
  return wrong.length > 0 ? wrong : [notAllowed(option, label(), value)];
}

/** `lacksArray`: a list is not in an array, in a file or a program; flags and variables are split before. */
function notAllowed(
  { name, schema, allowed }: Option,
  label: string,
  value: unknown,
  lacksArray = false,
): ConfigError {
  const kind = schema.type === 'integer' ? 'a whole number, ' : lacksArray ? 'an array of ' : '';
  const what = `${kind}${allowed}`;
  const about = { code: 'bad_option', option: name, allowed: what } as const;
  if (schema.secret) {
    return new ConfigError(`${label} (not shown) is not allowed: give ${what}`, about);
  }
  const text = typeof value === 'string' ? value : '';
  const fitting = schema.enum ? closest(text, schema.enum) : (schema.meant?.(text) ?? null);
  const meant = lacksArray ? null : fitting;
  const hint = meant === null ? '' : `; did you mean ${meant}?`;
  return new ConfigError(`${label} ${show(value)} is not allowed: give ${what}${hint}`, {
    ...about,
    value,
  });
}

function checkNamespaces(option: Option, label: Label, value: unknown): ConfigError[] {
  if (!isRecord(value)) return [notAllowed(option, label(), value)];
  return Object.entries(value).flatMap(([namespace, policy]) => {
    if (namespace === 'default' || !/^[^\s:\p{Cc}]{1,100}$/u.test(namespace)) {
      return [notAName(option, label(null, [namespace], 'key'), namespace)];
    }
    if (!isRecord(policy)) {
      return [notAllowed(option, `${label(null, [namespace])} ${show(namespace)}`, policy)];
    }
    return Object.entries(policy).flatMap(([name, setting]) => {
      const path = [namespace, name];
      const own = options.find((each) => each.name === name);
      if (own !== undefined && Object.hasOwn(perNamespace, name)) {
        return checkValue(own, () => label(path.join('.'), path), setting);
      }
      return [notOfANamespace(label(null, path, 'key'), path.join('.'), name)];
    });
  });
}

function notAName(option: Option, label: string, namespace: string): ConfigError {
  const allowed = '1 to 100 characters, no space, no colon, not "default"';
  return new ConfigError(`${label} ${show(namespace)} is not a name: give ${allowed}`, {
    code: 'bad_option',
    option: option.name,
    value: namespace,
    allowed,
  });
}

function notOfANamespace(label: string, written: string, name: string): ConfigError {
  const known = Object.keys(perNamespace);
  const meant = closest(name, known);
  const allowed = meant === null ? `give any of ${known.join(', ')}` : `did you mean ${meant}?`;
  return new ConfigError(`${label} ${show(written)} is not an option of a namespace: ${allowed}`, {
    code: 'unknown_option',
    option: name,
    allowed: meant,
  });
}

/** The value on one line, truncated if long, without control characters that a terminal would obey. */
export function show(value: unknown): string {
  const text = jsonOf(value);
  const cut = text.length <= 80 ? text : `${text.slice(0, 79)}…`;
  return cut.replace(/[\p{Cc}\u2028\u2029]/gu, '?');
}

/** A value from a program may not be JSON: a function, a BigInt, a cyclic object. */
function jsonOf(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
