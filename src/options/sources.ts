/**
 * Where the values of options come from when nobody hands them in as an object: flags, the
 * environment, a file. What they may be, `config.ts` says (V14).
 */
import { ConfigError } from '../errors.js';
import { closest } from './closest.js';
import { type Config, GivenOptions, NAMES, show, unknownOption } from './config.js';
import { type Option, options } from './index.js';
import { JsonFileError, readJsonFile } from './json-file.js';

/** Where the values of options come from, the strongest first. */
export interface Sources {
  /** By option name: what was written after the flag, joined by commas if several times. */
  readonly flags?: Readonly<Record<string, string>>;
  /** Only `ROOMCAST_*` is looked at; an empty variable counts as not set. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Path of a JSON file with option names as keys. */
  readonly file?: string | undefined;
  /** Told of each `ROOMCAST_*` variable that is no option; by default a process warning. */
  readonly warn?: (message: string) => void;
}

/** The environment's way to say `--config`. */
const CONFIG_FILE_VARIABLE = 'ROOMCAST_CONFIG';

/**
 * The configuration of the server: for each option the flag, else the variable, else the file, else
 * the default. Every value given is checked, also one that a stronger source overrides.
 *
 * @throws ConfigError with one line: the option as it was given, its value, what is allowed.
 */
export function loadConfig({ flags = {}, env = {}, file, warn = warnProcess }: Sources): Config {
  const given = new GivenOptions(({ flag }) => `--${flag}`);
  const path = file ?? (env[CONFIG_FILE_VARIABLE] || undefined);
  if (path !== undefined) {
    for (const [name, value] of Object.entries(readOptions(path))) {
      const option = options.find((each) => each.name === name);
      if (option === undefined) throw unknownOption(`${show(name)} in ${path}`, name, NAMES);
      given.take(option, `${name} in ${path}`, value);
    }
  }
  for (const [variable, text] of Object.entries(env)) {
    if (!text || !variable.startsWith('ROOMCAST_') || variable === CONFIG_FILE_VARIABLE) continue;
    if (isServiceLink(variable, text)) continue;
    const option = options.find((each) => each.env === variable);
    if (option !== undefined) given.take(option, variable, parse(option, text));
    else warn(strayVariable(variable));
  }
  for (const [name, text] of Object.entries(flags)) {
    const option = options.find((each) => each.name === name);
    if (option === undefined) throw unknownOption(name, name, NAMES);
    given.take(option, `--${option.flag}`, parse(option, text));
  }
  return given.config();
}

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
    options.map(({ env }) => env),
  );
  const hint = meant === null ? 'see roomcast serve --help' : `did you mean ${meant}?`;
  return `${variable} is not an option and has no effect: ${hint}`;
}

function warnProcess(message: string): void {
  process.emitWarning(message, 'ConfigWarning');
}

function readOptions(path: string): Record<string, unknown> {
  const refuse = (why: string, allowed: string) =>
    new ConfigError(`--config ${show(path)} ${why}: give ${allowed}`, {
      code: 'bad_config_file',
      value: path,
      allowed,
    });
  let value: unknown;
  try {
    value = readJsonFile(path);
  } catch (error) {
    if (error instanceof JsonFileError) throw refuse(error.message, 'a JSON file of options');
    throw error;
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw refuse('is not a JSON object', 'an object of options');
}

/** The value a text stands for; the text itself where it stands for none, to be refused by the check. */
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
