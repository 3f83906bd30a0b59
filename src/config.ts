/**
 * The configuration of a server: which value each option has, where it came from, and whether the
 * values fit together. The limits that V3 and V11 rest on are in it.
 *
 * Not here: what options there are (`options.ts`), reading the command line (`cli/`).
 */
import { readFileSync } from 'node:fs';
import type { BlockList } from 'node:net';
import type { Static } from 'typebox';
import Value from 'typebox/value';
import { ConfigError } from './errors.js';
import { blockList, type Option, options, queuePolicy, type schema } from './options.js';

type Mutable = Static<typeof schema>;

/** All options, checked. Numbers are in the unit that `options.ts` gives. */
export type Config = {
  readonly [K in keyof Mutable]: Mutable[K] extends (infer Item)[] ? readonly Item[] : Mutable[K];
};

/** The options that a namespace may have of its own. */
export type QueuePolicy = Pick<Config, keyof typeof queuePolicy>;

/** What the server does when nothing is said. */
export const defaults: Config = freeze(
  Object.fromEntries(
    options.map(({ name, schema }) => [name, schema.default]),
  ) as unknown as Config,
);

/** Where the values of options come from, the strongest first. */
export interface Sources {
  /** By option name: what was written after the flag, joined by commas if several times. */
  readonly flags?: Readonly<Record<string, string>>;
  /** Only `ROOMCAST_*` is looked at; an empty variable counts as not set. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Path of a JSON file with option names as keys. */
  readonly file?: string | undefined;
}

/** The environment's way to say `--config`. */
const CONFIG_FILE_VARIABLE = 'ROOMCAST_CONFIG';

/**
 * The configuration of the server: for each option the flag, else the variable, else the file, else
 * the default. Every value given is checked, also one that a stronger source overrides.
 *
 * @throws ConfigError with one line: the option as it was given, its value, what is allowed.
 */
export function loadConfig({ flags = {}, env = {}, file }: Sources): Config {
  const given = new Map<Option['name'], Given>();
  const path = file ?? (env[CONFIG_FILE_VARIABLE] || undefined);
  if (path !== undefined) {
    for (const [name, value] of Object.entries(readJsonObject(path))) {
      const option = find((each) => each.name === name, `${show(name)} in ${path}`);
      take(given, option, `${name} in ${path}`, value);
    }
  }
  for (const [variable, text] of Object.entries(env)) {
    if (!text || !variable.startsWith('ROOMCAST_') || variable === CONFIG_FILE_VARIABLE) continue;
    if (isServiceLink(variable, text)) continue;
    const option = find((each) => each.env === variable, variable);
    take(given, option, variable, parse(option, text));
  }
  for (const [name, text] of Object.entries(flags)) {
    const option = find((each) => each.name === name, name);
    take(given, option, `--${option.flag}`, parse(option, text));
  }

  const values = [...given].map(([name, { value }]) => [name, value]);
  const config = freeze({ ...defaults, ...Object.fromEntries(values) } as Config);
  checkTogether(config, (name) => {
    const label = given.get(name)?.label ?? find((each) => each.name === name, name).flag;
    return given.has(name)
      ? `${label} ${config[name]}`
      : `--${label} ${config[name]} (the default)`;
  });
  return config;
}

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

/** The networks of `trustProxy`, to be asked about the address of a peer. */
export function trustedProxies(config: Config): BlockList {
  return blockList(config.trustProxy);
}

interface Given {
  /** The option the way it was set: `--port`, `ROOMCAST_PORT`, `port in room.json`. */
  readonly label: string;
  readonly value: unknown;
}

/** What Kubernetes sets in every pod beside a Service called `roomcast`; nobody meant it for us. */
function isServiceLink(variable: string, text: string): boolean {
  return /^ROOMCAST_(SERVICE_(HOST|PORT)|PORT_\d+_)/.test(variable) || text.startsWith('tcp://');
}

function find(is: (option: Option) => boolean, label: string): Option {
  const option = options.find(is);
  if (option) return option;
  throw new ConfigError(`${label} is not an option: see roomcast serve --help`);
}

function take(given: Map<Option['name'], Given>, option: Option, label: string, value: unknown) {
  if (option.name === 'namespaces') checkNamespaces(option, label, value);
  else check(option, label, value);
  given.set(option.name, { label, value });
}

function readJsonObject(path: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigError(`--config ${show(path)} cannot be read (${code}): give a JSON file`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's own message quotes the text around the mistake, which may hold a key.
    throw new ConfigError(`--config ${show(path)} is not valid JSON: give an object of options`);
  }
  if (isRecord(value)) return value;
  throw new ConfigError(`--config ${show(path)} is not a JSON object: give an object of options`);
}

/** The value a text stands for; the text itself where it stands for none, to be refused by `check`. */
function parse({ schema }: Option, text: string): unknown {
  if (schema.type === 'integer') return /^-?\d{1,15}$/.test(text) ? Number(text) : text;
  if (schema.type === 'boolean') return text === 'true' || (text === 'false' ? false : text);
  if (schema.type === 'array') return text.split(',').map((item) => item.trim());
  if (schema.type !== 'object') return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function check(option: Option, label: string, value: unknown): void {
  const { items } = option.schema;
  const fits: boolean = Value.Check(option.schema, value);
  if (fits) return;
  // Of a list, the item that is wrong.
  const wrong =
    items && Array.isArray(value) ? value.find((item) => !Value.Check(items, item)) : value;
  throw notAllowed(option, label, wrong ?? value);
}

function notAllowed({ schema, allowed }: Option, label: string, value: unknown): ConfigError {
  const shown = schema.secret ? '(not shown)' : show(value);
  const what = schema.type === 'integer' ? `a whole number, ${allowed}` : allowed;
  return new ConfigError(`${label} ${shown} is not allowed: give ${what}`);
}

function checkNamespaces(option: Option, label: string, value: unknown): void {
  if (!isRecord(value)) throw notAllowed(option, label, value);
  for (const [namespace, policy] of Object.entries(value)) {
    if (namespace === 'default' || !/^[^\s:\p{Cc}]{1,100}$/u.test(namespace)) {
      throw new ConfigError(
        `${label} ${show(namespace)} is not a name: give 1 to 100 characters, no space, no colon, not "default"`,
      );
    }
    if (!isRecord(policy)) throw notAllowed(option, `${label} ${show(namespace)}`, policy);
    for (const [name, setting] of Object.entries(policy)) {
      if (!Object.hasOwn(queuePolicy, name)) {
        throw new ConfigError(
          `${label} ${show(`${namespace}.${name}`)} is not an option: give any of ${Object.keys(queuePolicy).join(', ')}`,
        );
      }
      const own = find((each) => each.name === name, name);
      check(own, `${label} ${namespace}.${name}`, setting);
    }
  }
}

type NumberName = { [K in keyof Config]: Config[K] extends number ? K : never }[keyof Config];

/** Pairs of which the first may not be less than the second. */
const AT_LEAST: readonly (readonly [larger: NumberName, smaller: NumberName, why: string])[] = [
  ['queueBytes', 'maxMessageBytes', 'one message has to fit'],
  ['queueBytesTotal', 'queueBytes', 'one full queue has to fit'],
  ['stallAfterMs', 'lagAfterMs', 'a member lags before it stalls'],
  ['roomBacklogBytes', 'maxMessageBytes', 'one message has to fit'],
  ['maxBodyBytes', 'maxMessageBytes', 'one message has to fit'],
  ['maxHttpBodyBytes', 'maxMessageBytes', 'one message has to fit'],
  ['shutdownGraceMs', 'drainMs', 'members are told to go within the grace'],
];

/** What no option can say about itself. `named` gives an option and its value as the user set it. */
function checkTogether(config: Config, named: (name: NumberName) => string): void {
  for (const [namespace, policy] of namespaces(config)) {
    const own = config.namespaces[namespace] ?? {};
    const values = { ...config, ...policy };
    const label = (name: NumberName) =>
      Object.hasOwn(own, name) ? `namespaces ${namespace}.${name} ${values[name]}` : named(name);
    for (const [larger, smaller, why] of AT_LEAST) {
      if (values[larger] >= values[smaller]) continue;
      throw new ConfigError(
        `${label(larger)} is not allowed with ${label(smaller)}: ${why}, give at least ${values[smaller]}`,
      );
    }
  }
}

/** A value on one line, cut where it is long, with nothing in it that a terminal obeys. */
function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  const cut = text.length <= 80 ? text : `${text.slice(0, 79)}…`;
  return cut.replace(/[\u007f-\u009f\u2028\u2029]/g, '?');
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Options are shared by everything that runs; nobody may change one for the others. */
function freeze<T extends object>(value: T): T {
  for (const each of Object.values(value)) {
    if (typeof each === 'object' && each !== null) freeze(each);
  }
  return Object.freeze(value);
}
