/**
 * The configuration of a server, and the one check of it. V14: flags, variables, a file
 * (`sources.ts`), `createServer` and `startTestServer` all go through `GivenOptions`, so that each
 * refuses the same with the same code and words. The limits that V3 and V11 rest on are in it.
 *
 * Not here: what options there are (`index.ts`), reading the command line (`cli/`).
 */
import type { BlockList } from 'node:net';
import Value from 'typebox/value';
import { ConfigError } from '../errors.js';
import { closest } from './closest.js';
import { type Option, options, type schema } from './index.js';
import { blockList } from './networks.js';
import { queuePolicy } from './queues.js';
import { mayHaveRooms, wholePattern } from './room-names.js';
import type { Values } from './schema.js';

/** All options, checked. Numbers are in the unit that each option gives. */
export type Config = Values<typeof schema>;

/** The options that a namespace may have of its own. */
export type QueuePolicy = Values<typeof queuePolicy>;

/** What the server does when nothing is said. */
export const defaults: Config = freeze(
  Object.fromEntries(
    options.map(({ name, schema }) => [name, schema.default]),
  ) as unknown as Config,
);

/**
 * Options given in a program: checked, completed with `base`, and frozen. One that is undefined
 * counts as not given.
 *
 * @throws ConfigError with one line: the option, its value, what is allowed.
 */
export function checkConfig(given: Partial<Config> = {}, base: Config = defaults): Config {
  if (!isRecord(given)) {
    throw new ConfigError(`options ${show(given)} are not allowed: give an object of options`, {
      code: 'bad_option',
      value: given,
      allowed: 'an object of options',
    });
  }
  const result = new GivenOptions(({ name }) => name);
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue;
    const option = options.find((each) => each.name === name);
    if (option === undefined) throw unknownOption(show(name), name, NAMES);
    result.take(option, name, value);
  }
  return result.config(base);
}

export const NAMES: readonly string[] = options.map(({ name }) => name);

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

/** What commands are checked against (`protocol/fields.ts`). */
export function commandLimits(config: Config) {
  return {
    maxCommandBytes: config.maxCommandBytes,
    maxMessageBytes: config.maxMessageBytes,
    maxRoomNameLength: config.maxRoomNameLength,
    roomNamePattern: wholePattern(config.roomNamePattern),
    maxJsonDepth: config.maxJsonDepth,
  };
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

/** Options as they come in: each is checked by itself, then all of them together. */
export class GivenOptions {
  readonly #given = new Map<Option['name'], Given>();
  readonly #labelOf: (option: Option) => string;

  /** `labelOf`: what this entrance calls an option that was not given. */
  constructor(labelOf: (option: Option) => string) {
    this.#labelOf = labelOf;
  }

  /** Goes before what was taken earlier. @throws ConfigError `unknown_option`, `bad_option` */
  take(option: Option, label: string, value: unknown): void {
    if (option.name === 'namespaces') checkNamespaces(option, label, value);
    else check(option, label, value);
    // Nobody who keeps what was given can change it afterwards.
    this.#given.set(option.name, { label, value: structuredClone(value) });
  }

  /** What was not given is as `base` has it. @throws ConfigError `unfit_options` */
  config(base: Config = defaults): Config {
    const values = [...this.#given].map(([name, { value }]) => [name, value]);
    const config = freeze({ ...base, ...Object.fromEntries(values) } as Config);
    checkTogether(config, (name) => {
      const given = this.#given.get(name);
      if (given !== undefined) return `${given.label} ${config[name]}`;
      const option = options.find((each) => each.name === name) as Option;
      return `${this.#labelOf(option)} ${config[name]} (the default)`;
    });
    return config;
  }
}

/** `label` is `name` the way it was written. */
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

function check(option: Option, label: string, value: unknown): void {
  const { items } = option.schema;
  const fits: boolean = Value.Check(option.schema, value);
  if (fits) return;
  // Of a list, the item that is wrong.
  const wrong =
    items && Array.isArray(value) ? value.find((item) => !Value.Check(items, item)) : value;
  throw notAllowed(option, label, wrong ?? value);
}

function notAllowed({ name, schema, allowed }: Option, label: string, value: unknown): ConfigError {
  const what = schema.type === 'integer' ? `a whole number, ${allowed}` : allowed;
  const about = { code: 'bad_option', option: name, allowed: what } as const;
  if (schema.secret) {
    return new ConfigError(`${label} (not shown) is not allowed: give ${what}`, about);
  }
  const text = typeof value === 'string' ? value : '';
  const meant = schema.enum ? closest(text, schema.enum) : (schema.meant?.(text) ?? null);
  const hint = meant === null ? '' : `; did you mean ${meant}?`;
  return new ConfigError(`${label} ${show(value)} is not allowed: give ${what}${hint}`, {
    ...about,
    value,
  });
}

function checkNamespaces(option: Option, label: string, value: unknown): void {
  if (!isRecord(value)) throw notAllowed(option, label, value);
  for (const [namespace, policy] of Object.entries(value)) {
    if (namespace === 'default' || !/^[^\s:\p{Cc}]{1,100}$/u.test(namespace)) {
      const allowed = '1 to 100 characters, no space, no colon, not "default"';
      throw new ConfigError(`${label} ${show(namespace)} is not a name: give ${allowed}`, {
        code: 'bad_option',
        option: option.name,
        value: namespace,
        allowed,
      });
    }
    if (!isRecord(policy)) throw notAllowed(option, `${label} ${show(namespace)}`, policy);
    for (const [name, setting] of Object.entries(policy)) {
      const own = options.find((each) => each.name === name);
      if (own === undefined || !Object.hasOwn(queuePolicy, name)) {
        const known = Object.keys(queuePolicy);
        const meant = closest(name, known);
        const allowed =
          meant === null ? `give any of ${known.join(', ')}` : `did you mean ${meant}?`;
        throw new ConfigError(
          `${label} ${show(`${namespace}.${name}`)} is not an option of a namespace: ${allowed}`,
          { code: 'unknown_option', option: name, allowed: meant },
        );
      }
      check(own, `${label} ${namespace}.${name}`, setting);
    }
  }
}

type NumberName = { [K in keyof Config]: Config[K] extends number ? K : never }[keyof Config];

/** Pairs of which the first may not be less than the second, or less than that and `beside`. */
const AT_LEAST: readonly (readonly [
  larger: NumberName,
  smaller: NumberName,
  why: string,
  beside?: (config: Config) => number,
])[] = [
  ['queueBytes', 'maxMessageBytes', 'one message has to fit, with its envelope', envelopeBytes],
  ['queueBytesTotal', 'queueBytes', 'one full queue has to fit'],
  ['stallAfterMs', 'lagAfterMs', 'a member lags before it stalls'],
  ['roomBacklogBytes', 'maxMessageBytes', 'one message has to fit'],
  ['maxBodyBytes', 'maxMessageBytes', 'one message has to fit'],
  ['maxHttpBodyBytes', 'maxMessageBytes', 'one message has to fit'],
  ['maxCommandBytes', 'maxRoomNameLength', 'a join of such a room has to fit', () => 100],
  ['shutdownGraceMs', 'drainMs', 'members are told to go within the grace'],
];

/** What a message is sent with beside its data, at most: the room, and a key of 200, in escapes; names. */
function envelopeBytes({ maxRoomNameLength }: Config): number {
  return 6 * (maxRoomNameLength + 200) + 200;
}

/** What no option can say about itself. `named` gives an option and its value as the user set it. */
function checkTogether(config: Config, named: (name: NumberName) => string): void {
  for (const [namespace, policy] of namespaces(config)) {
    const own = config.namespaces[namespace] ?? {};
    const values = { ...config, ...policy };
    const label = (name: NumberName) =>
      Object.hasOwn(own, name) ? `namespaces ${namespace}.${name} ${values[name]}` : named(name);
    for (const [larger, smaller, why, beside] of AT_LEAST) {
      const least = values[smaller] + (beside?.(config) ?? 0);
      if (values[larger] >= least) continue;
      throw new ConfigError(
        `${label(larger)} is not allowed with ${label(smaller)}: ${why}, give at least ${least}`,
        {
          code: 'unfit_options',
          option: larger,
          value: values[larger],
          allowed: `at least ${least}`,
        },
      );
    }
  }
  const pattern = wholePattern(config.roomNamePattern);
  for (const namespace of Object.keys(config.namespaces)) {
    if (mayHaveRooms(namespace, pattern, config) !== false) continue;
    throw new ConfigError(
      `namespaces ${show(namespace)} is not allowed: no room's name can begin with ${show(`${namespace}:`)}, by roomNamePattern ${show(config.roomNamePattern)} and maxRoomNameLength ${config.maxRoomNameLength}`,
      { code: 'unfit_options', option: 'namespaces', value: namespace },
    );
  }
}

/** What is allowed and yet has no effect, one line each, for the log. */
export function warningsOf(config: Config): string[] {
  const warnings: string[] = [];
  const pattern = wholePattern(config.roomNamePattern);
  for (const namespace of Object.keys(config.namespaces)) {
    if (mayHaveRooms(namespace, pattern, config) === null) {
      warnings.push(
        `namespaces ${show(namespace)} may have no room: no name tried with it matches roomNamePattern`,
      );
    }
  }
  const policies = Array.from(namespaces(config).values(), ({ policy }) => policy);
  for (const [namespace, own] of Object.entries(config.namespaces)) {
    if (own.disconnectGraceMs === undefined) continue;
    if (policyFor(config, namespace).policy === 'disconnect') continue;
    warnings.push(`namespaces ${show(namespace)} disconnectGraceMs has no effect: ${WITHOUT}`);
  }
  if (config.disconnectGraceMs !== defaults.disconnectGraceMs && !policies.includes('disconnect')) {
    warnings.push(`disconnectGraceMs has no effect: ${WITHOUT}`);
  }
  return warnings;
}

const WITHOUT = 'the policy is not disconnect';

/** A value on one line, cut where it is long, with nothing in it that a terminal obeys. */
export function show(value: unknown): string {
  const text = jsonOf(value);
  const cut = text.length <= 80 ? text : `${text.slice(0, 79)}…`;
  return cut.replace(/[\p{Cc}\u2028\u2029]/gu, '?');
}

/** What a program gave may be no JSON: a function, a BigInt, a circle. */
function jsonOf(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
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
