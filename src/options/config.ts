/**
 * The configuration of a server, and the one check of it. V14: flags, variables, a file
 * (`sources.ts`), `createRoomcast`, `serve` and `startTestServer` all go through `GivenOptions`, so that
 * each refuses the same with the same code and words, all that is wrong at once. The limits that V3 and
 * V11 rest on are in it.
 *
 * Not here: what options there are (`index.ts`), what is allowed (`check.ts`, `together.ts`), reading
 * the command line (`cli/`).
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

/** All options, checked. Numbers are in the unit that each option gives. */
export type Config = Values<typeof schema>;

/** What a program may give: options, and files in which the secret ones are. */
export type Options = Partial<Config> & SecretFiles;

/** How the queues of members are bounded, in one namespace. */
export type QueuePolicy = Values<typeof queuePolicy>;

/** What rooms keep of their past, in one namespace. */
export type HistoryPolicy = Values<typeof historyPolicy>;

/** What members are told of who is in a room, in one namespace. */
export type PresencePolicy = Values<typeof presencePolicy>;

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
 * @throws ConfigError with a line for each that is wrong: the option, its value, what is allowed.
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

/** A name as it is written in an error: quoted where there is no such option. */
export function nameOf(name: string): string {
  return optionNamed(name) || secretFileNamed(name) ? name : show(name);
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

/** An option the way it came in: `value` is what an option of this name has to be. */
export interface Given {
  readonly name: string;
  readonly label: Label;
  readonly value: unknown;
}

/** Options as they come in: each is checked by itself, then all of them together. */
export class GivenOptions {
  readonly #given = new Map<Option['name'], Given>();
  readonly #wrong = new Set<string>();
  readonly #errors: ConfigError[] = [];
  readonly #unset: (option: Option) => string;

  /** `unset`: what this entrance calls an option that was not given. */
  constructor(unset: (option: Option) => string) {
    this.#unset = unset;
  }

  /** What one source says. It goes before what was taken earlier. Relative paths are below `directory`. */
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
      // Nobody who keeps what was given can change it afterwards.
      this.#given.set(option.name, { name, label, value: structuredClone(value) });
    }
  }

  /** Something is wrong that is not about the value of an option. */
  refuse(error: ConfigError): void {
    this.#errors.push(error);
  }

  /**
   * What was not given is as `base` has it.
   *
   * @throws ConfigError with all that is wrong: `unknown_option`, `bad_option`, `unfit_options` …
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

/** Options are shared by everything that runs; nobody may change one for the others. */
function freeze<T extends object>(value: T): T {
  for (const each of Object.values(value)) {
    if (typeof each === 'object' && each !== null) freeze(each);
  }
  return Object.freeze(value);
}
