/**
 * `roomcast check-config`: checks whether a server would start with these options, without starting it;
 * and `--print-config`, which `serve` has too.
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
All errors are reported at once, with line and column if they are in a file.

Exit codes:
  0         a server would accept these options; warnings are on stderr
  2         an option is wrong
`;

/** An option for commands with the options of the server. */
export function printConfigOption(): Option {
  return new Option('--print-config', 'Print all options in the format of the file, and exit.');
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

/** The flags of `addServerOptions` and `printConfigOption`, as commander parses them. */
export type Flags = Record<string, string> & { printConfig?: true };

/** All options in the format of a file; secret values are replaced, but their number is kept. */
export function printed(config: Config): string {
  const shown = options.map(({ name, schema }) => [
    name,
    schema.secret ? hidden(config[name]) : config[name],
  ]);
  return `${JSON.stringify(Object.fromEntries(shown), null, 2)}\n`;
}

/** Keys cannot contain spaces, so that a server refuses such a file if it is used unchanged. */
function hidden(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(() => '(not shown)');
  return value === '' ? '' : '(not shown)';
}
