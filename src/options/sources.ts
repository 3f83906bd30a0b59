/**
 * Loads the configuration from flags, the environment and a file. `config.ts` checks the values (V14).
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

/** The sources of option values, in order of precedence. */
export interface Sources {
  /** By option name: the text after the flag, joined by commas if the flag is repeated. */
  readonly flags?: Readonly<Record<string, string>>;
  /** Only `ROOMCAST_*` is read; an empty variable counts as unset. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Path of a JSON or YAML file with option names as keys. */
  readonly file?: string | undefined;
  /** Called for each `ROOMCAST_*` variable that is not an option; default: a process warning. */
  readonly warn?: (message: string) => void;
}

/** The environment variable for `--config`. */
const CONFIG_FILE_VARIABLE = 'ROOMCAST_CONFIG';

/** Everything that can be set from outside: options and files of secrets. */
const SETTABLE = [
  ...options.map((option) => ({
    ...option,
    parse: (text: string) => parseText(option, text),
  })),
  ...secretFiles.map((file) => ({ ...file, parse: (text: string): unknown => text })),
];

/**
 * The configuration of the server: for each option the flag, else the variable, else the file, else
 * the default. Every given value is checked, even if a stronger source overrides it.
 *
 * @throws ConfigError with a line for each fault: the option as it was given, its value, the allowed
 *   values.
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
 * Variables that Kubernetes, and Docker before it, sets in every container for a service whose name begins
 * with `roomcast`; they are not meant as options.
 */
function isServiceLink(variable: string, text: string): boolean {
  const parts = /_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$/;
  if (parts.test(variable)) return true;
  return variable.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(text);
}

/** Only a warning: other software may set such variables. The value may be a key and is not shown. */
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
      // For editors: refers to the JSON Schema.
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
