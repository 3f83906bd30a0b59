/**
 * `roomcast check-config`: whether a server would start with these options, without starting it; and
 * `--print-config`, which it shares with `serve`.
 *
 * Not here: the check itself (`src/options/`).
 */
import { Command, Option } from 'commander';
import type { Config } from '../options/config.js';
import { options } from '../options/index.js';
import { loadConfig } from '../options/sources.js';
import { warningsOf } from '../options/together.js';
import { addServerOptions, noArguments, SOURCES_HELP, sourcesOf } from './options.js';

const EXIT_HELP = `
Every fault is told at once, with line and column where it is in a file.

Exit codes:
  0         a server would take these options; warnings are on stderr
  2         an option is wrong
`;

/** For a command with the options of the server. */
export function printConfigOption(): Option {
  return new Option('--print-config', 'Print all options as a file would have them, and end.');
}

/** The command `check-config`. Its action rejects with ConfigError. */
export function checkConfigCommand(): Command {
  const command = new Command('check-config').description(
    'Check the options of serve: those of a file, the environment, and flags.',
  );
  return addServerOptions(command)
    .addOption(printConfigOption())
    .allowExcessArguments()
    .addHelpText('after', `${SOURCES_HELP}\n${EXIT_HELP}`)
    .action(({ printConfig, ...flags }: Flags) => {
      noArguments(command);
      const warn = (text: string) => void process.stderr.write(`roomcast: ${text}\n`);
      const config = loadConfig({ ...sourcesOf(flags), warn });
      for (const warning of warningsOf(config)) warn(warning);
      process.stdout.write(printConfig ? printed(config) : 'The options are all right.\n');
    });
}

/** What commander makes of `addServerOptions` and `printConfigOption`. */
export type Flags = Record<string, string> & { printConfig?: true };

/** All options as a file has them, but for the secret ones: how many values they have. */
export function printed(config: Config): string {
  const shown = options.map(({ name, schema }) => [
    name,
    schema.secret ? hidden(config[name]) : config[name],
  ]);
  return `${JSON.stringify(Object.fromEntries(shown), null, 2)}\n`;
}

/** No key may have a space, so that such a file is refused where it is used as it is. */
function hidden(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(() => '(not shown)');
  return value === '' ? '' : '(not shown)';
}
