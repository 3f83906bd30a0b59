/**
 * The server's options as flags of a command, with help texts that fit 80 columns.
 *
 * Not here: the options (`src/options/`), the check of their values (`src/options/config.ts`).
 */
import { type Command, Option } from 'commander';
import { ConfigError } from '../errors.js';
import { GROUPS, options, type Option as ServerOption } from '../options/index.js';
import { secretFiles } from '../options/secrets.js';
import type { Sources } from '../options/sources.js';

const WIDTH = 80;
const INDENT = '      ';

/** Adds a flag for each option, and `--config`. */
export function addServerOptions(command: Command): Command {
  command.configureHelp({
    helpWidth: WIDTH,
    formatItem: (term, _width, text, helper) => {
      const lines = helper.boxWrap(text, WIDTH - INDENT.length).split('\n');
      return [`  ${term}`, ...lines.map((line) => INDENT + line)].join('\n');
    },
  });
  const first = `${GROUPS[0]}:`;
  const config = new Option('--config <file>', 'JSON or YAML file of options; see below.');
  command.addOption(config.helpGroup(first));
  for (const option of options) {
    command.addOption(flag(option));
    const file = secretFiles.find(({ of }) => of === option);
    if (file === undefined) continue;
    const text = `File with the value of --${option.flag}, one per line.`;
    command.addOption(new Option(`--${file.flag} <file>`, text).helpGroup(groupOf(option)));
  }
  return command.addHelpOption(new Option('-h, --help', 'Show this help.').helpGroup(first));
}

/** Converts what commander parsed for `addServerOptions` to the input of `loadConfig`. */
export function sourcesOf({ config, ...flags }: Record<string, string>): Sources {
  return { flags, file: config, env: process.env };
}

/** @throws ConfigError if the command has arguments besides options */
export function noArguments(command: Command): void {
  const [excess] = command.args;
  if (excess === undefined) return;
  throw new ConfigError(
    `${JSON.stringify(excess)} is not an option: see roomcast ${command.name()} --help`,
  );
}

/** Help text on the sources of options, for a command that has `addServerOptions`. */
export const SOURCES_HELP = `
An option is read from its flag, else from the environment, else from the file,
else it has its default. --publish-rate is ROOMCAST_PUBLISH_RATE in the
environment and publishRate in the file; --config is ROOMCAST_CONFIG. Lists are
flags given several times, text separated by commas, or arrays in the file.
Other users of the machine can read flags: keep keys in the environment, or in
files of their own, which --api-key-file and ROOMCAST_API_KEY_FILE name.`;

function flag(option: ServerOption): Option {
  const { schema } = option;
  const name = schema.unit.replaceAll(' ', '-');
  const many = schema.type === 'array';
  const result = new Option(`--${option.flag} <${name}>`, describe(option));
  result.helpGroup(groupOf(option));
  if (many) result.argParser((text, before?: string) => (before ? `${before},${text}` : text));
  return result;
}

const groupOf = ({ schema }: ServerOption) => `${schema.group}:`;

function describe({ schema, allowed }: ServerOption): string {
  const { default: value } = schema;
  // A text, list or map.
  const isEmpty =
    value === '' ||
    (typeof value === 'object' && value !== null && Object.keys(value).length === 0);
  return `${schema.description}\nDefault: ${isEmpty ? 'none' : value}. Allowed: ${allowed}.`;
}
