/**
 * Where the values of options come from when nobody hands them in as an object: flags, the
 * environment, a file. What they may be, `config.ts` says (V14).
 */
import { dirname } from 'node:path';
import { ConfigError } from '../errors.js';
import { isRecord, type Path, show } from './check.js';
import { closest } from './closest.js';
import { type Config, GivenOptions, nameOf } from './config.js';
import { readConfigFile } from './config-file.js';
import { type Document, FileError } from './document.js';
import { options } from './index.js';
import { secretFiles } from './secrets.js';
import { parseText } from './text.js';

/** Where the values of options come from, the strongest first. */
export interface Sources {
  /** By option name: what was written after the flag, joined by commas if several times. */
  readonly flags?: Readonly<Record<string, string>>;
  /** Only `ROOMCAST_*` is looked at; an empty variable counts as not set. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Path of a JSON or YAML file with option names as keys. */
  readonly file?: string | undefined;
  /** Told of each `ROOMCAST_*` variable that is no option; by default a process warning. */
  readonly warn?: (message: string) => void;
}

/** The environment's way to say `--config`. */
const CONFIG_FILE_VARIABLE = 'ROOMCAST_CONFIG';

/** All that can be set from outside, with its names. */
const SETTABLE = [
  ...options.map((option) => ({
    ...option,
    parse: (text: string) => parseText(option, text),
  })),
  ...secretFiles.map((file) => ({ ...file, parse: (text: string): unknown => text })),
];

/**
 * The configuration of the server: for each option the flag, else the variable, else the file, else
 * the default. Every value given is checked, also one that a stronger source overrides.
 *
 * @throws ConfigError with a line for each that is wrong: the option as it was given, its value, what is
 *   allowed.
 */
export function loadConfig({ flags = {}, env = {}, file, warn = warnProcess }: Sources): Config {
  const given = new GivenOptions(({ flag }) => `--${flag}`);
  const path = file ?? (env[CONFIG_FILE_VARIABLE] || undefined);
  if (path !== undefined) takeFile(given, path);
  given.take(
    Object.entries(env).flatMap(([variable, text]) => {
      if (!text || !variable.startsWith('ROOMCAST_') || variable === CONFIG_FILE_VARIABLE)
        return [];
      if (isServiceLink(variable, text)) return [];
      const option = SETTABLE.find((each) => each.env === variable);
      if (option !== undefined) return [written(option.name, variable, option.parse(text))];
      warn(strayVariable(variable));
      return [];
    }),
  );
  given.take(
    Object.entries(flags).map(([name, text]) => {
      const option = SETTABLE.find((each) => each.name === name);
      return option === undefined
        ? written(name, name, text)
        : written(name, `--${option.flag}`, option.parse(text));
    }),
  );
  return given.config();
}

const written = (name: string, as: string, value: unknown) => ({
  name,
  value,
  label: (within?: string | null) => [as, within].filter(Boolean).join(' '),
});

/**
 * What Kubernetes, and Docker before it, sets in every container beside a service whose name begins
 * with `roomcast`; nobody meant it for us.
 */
function isServiceLink(variable: string, text: string): boolean {
  const parts = /_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$/;
  if (parts.test(variable)) return true;
  return variable.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(text);
}

/** Others set variables too, so it ends no start. Its value may be a key and is not shown. */
function strayVariable(variable: string): string {
  const meant = closest(
    variable,
    SETTABLE.map(({ env }) => env),
  );
  const hint = meant === null ? 'see roomcast serve --help' : `did you mean ${meant}?`;
  return `${variable} is not an option and has no effect: ${hint}`;
}

function warnProcess(message: string): void {
  process.emitWarning(message, 'ConfigWarning');
}

function takeFile(given: GivenOptions, file: string): void {
  const read = readOptions(file);
  if (read instanceof ConfigError) {
    given.refuse(read);
    return;
  }
  const { values, places } = read;
  given.take(
    Object.entries(values)
      // For editors, which check the file by it.
      .filter(([name]) => name !== '$schema')
      .map(([name, value]) => ({
        name,
        value,
        label(within?: string | null, path: Path = [], stands: 'key' | 'value' = 'value') {
          const isKnown = nameOf(name) === name;
          const place = places.of(isKnown ? stands : 'key', [name, ...path]);
          return [nameOf(name), within, `in ${file}`, place].filter(Boolean).join(' ');
        },
      })),
    dirname(file),
  );
}

function readOptions(
  path: string,
): ConfigError | { values: Record<string, unknown>; places: Document['places'] } {
  const refuse = (why: string, allowed: string) =>
    new ConfigError(`--config ${show(path)} ${why}: give ${allowed}`, {
      code: 'bad_config_file',
      value: path,
      allowed,
    });
  try {
    const { value, places } = readConfigFile(path);
    return isRecord(value)
      ? { values: value, places }
      : refuse('is not an object', 'an object of options');
  } catch (error) {
    if (error instanceof FileError) return refuse(error.message, 'a JSON or YAML file of options');
    throw error;
  }
}
