/**
 * The configuration of a server, and the one check of it. V14: flags, variables, a file
 * (`sources.ts`), `createRoomcast`, `serve` and `startTestServer` all use `GivenOptions`, so that each
 * rejects the same options with the same code and text, and reports all faults at once. The limits behind
 * V3 and V11 are part of it.
 *
 * Not here: the list of options (`index.ts`), the checks (`check.ts`, `together.ts`), the command line
 * (`cli/`).
 */
import type { BlockList } from 'node:net';
import { ConfigError } from '../errors.js';
import { check, isRecord, type Label, show, unknownOption } from './check.js';
import type { historyPolicy } from './history.js';
import { NAMES, type Option, optionNamed, options, type schema } from './index.js';
import { blockList } from './networks.js';
import type { presencePolicy } from './presence.js';
import type { queuePolicy } from './queues.js';
import { wholePattern } from './room-names.js';
import type { Values } from './schema.js';
import { readSecret, type SecretFiles, secretFileNamed } from './secrets.js';
import { checkTogether, type Named } from './together.js';

/** All options, checked. Numbers are in the unit that the option defines. */
export type Config = Values<typeof schema>;

/** Options that a program may pass, including files for the secret ones. */
export type Options = Partial<Config> & SecretFiles;

/** Bounds of the members' queues, in one namespace. */
export type QueuePolicy = Values<typeof queuePolicy>;

/** Bounds of the rooms' history, in one namespace. */
export type HistoryPolicy = Values<typeof historyPolicy>;

/** Presence settings, in one namespace. */
export type PresencePolicy = Values<typeof presencePolicy>;

/** The defaults of all options. */
export const defaults: Config = freeze(
  Object.fromEntries(
    options.map(({ name, schema }) => [name, schema.default]),
  ) as unknown as Config,
);

/**
 * Checks options passed by a program, completes them with `base`, and freezes the result. An undefined
 * option counts as not given.
 *
 * @throws ConfigError with a line for each fault: the option, its value, the allowed values.
 */
export function checkConfig(given: Options = {}, base: Config = defaults): Config {
  if (!isRecord(given)) {
    throw new ConfigError(`options ${show(given)} are not allowed: give an object of options`, {
      code: 'bad_option',
      value: given,
      allowed: 'an object of options',
    });
  }
  const result = new GivenOptions(({ name }) => name);
  const entries = Object.entries(given).filter(([, value]) => value !== undefined);
  result.take(
    entries.map(([name, value]) => ({
      name,
      value,
      label: (within) => [nameOf(name), within].filter(Boolean).join(' '),
    })),
  );
  return result.config(base);
}

/** A name as written in an error: quoted if there is no such option. */
export function nameOf(name: string): string {
  return optionNamed(name) || secretFileNamed(name) ? name : show(name);
}

/** Limits for the check of commands (`protocol/fields.ts`). */
export function commandLimits(config: Config) {
  return {
    maxCommandBytes: config.maxCommandBytes,
    maxMessageBytes: config.maxMessageBytes,
    maxRoomNameLength: config.maxRoomNameLength,
    roomNamePattern: wholePattern(config.roomNamePattern),
    maxJsonDepth: config.maxJsonDepth,
  };
}

/** The networks of `trustProxy`, to match a peer's address against. */
export function trustedProxies(config: Config): BlockList {
  return blockList(config.trustProxy);
}

/** An option from one source; `value` is already converted to the type of the option. */
export interface Given {
  readonly name: string;
  readonly label: Label;
  readonly value: unknown;
}

/** Collects options from their sources: checks each by itself, then all of them together. */
export class GivenOptions {
  readonly #given = new Map<Option['name'], Given>();
  readonly #wrong = new Set<string>();
  readonly #errors: ConfigError[] = [];
  readonly #unset: (option: Option) => string;

  /** `unset`: the name of an option that was not given, in the notation of the caller. */
  constructor(unset: (option: Option) => string) {
    this.#unset = unset;
  }

  /** Adds the options of one source, which override earlier ones. Paths are relative to `directory`. */
  take(source: Iterable<Given>, directory = '.'): void {
    const said = new Map<Option['name'], Given>();
    for (const given of source) {
      const { name, label } = given;
      const file = secretFileNamed(name);
      const option = file?.of ?? optionNamed(name);
      if (option === undefined) {
        this.refuse(unknownOption(label(), name, NAMES));
        continue;
      }
      const before = said.get(option.name);
      const value = file ? readSecret(file, label(), given.value, directory) : given.value;
      const errors =
        before !== undefined
          ? [twice(option, label(), before.label())]
          : value instanceof ConfigError
            ? [value]
            : check(option, label, value);
      if (errors.length > 0) {
        this.#wrong.add(option.name);
        for (const error of errors) this.refuse(error);
        continue;
      }
      said.set(option.name, given);
      // A copy: the caller cannot change the option later.
      this.#given.set(option.name, { name, label, value: structuredClone(value) });
    }
  }

  /** Adds an error that does not concern the value of an option. */
  refuse(error: ConfigError): void {
    this.#errors.push(error);
  }

  /**
   * The checked configuration; options not given come from `base`.
   *
   * @throws ConfigError with all faults: `unknown_option`, `bad_option`, `unfit_options` …
   */
  config(base: Config = defaults): Config {
    const values = [...this.#given].map(([name, { value }]) => [name, value]);
    const config = freeze({ ...base, ...Object.fromEntries(values) } as Config);
    const named: Named = (name, within = [], value = config[name]) => {
      if (this.#wrong.has(name)) return null;
      const words = within.length > 1 ? within.join('.') : null;
      const given = this.#given.get(name);
      if (given !== undefined) return `${given.label(words, within)} ${show(value)}`;
      return `${this.#unset(optionNamed(name) as Option)} ${show(value)} (the default)`;
    };
    const errors = [...this.#errors, ...checkTogether(config, named)];
    if (errors.length > 0) throw ConfigError.of(errors);
    return config;
  }
}

function twice(option: Option, label: string, other: string): ConfigError {
  return new ConfigError(`${label} is not allowed with ${other}: give one of them`, {
    code: 'unfit_options',
    option: option.name,
    allowed: 'one of them',
  });
}

/** All parts of the server share the options; none may change them. */
function freeze<T extends object>(value: T): T {
  for (const each of Object.values(value)) {
    if (typeof each === 'object' && each !== null) freeze(each);
  }
  return Object.freeze(value);
}
