#!/usr/bin/env node
/**
 * The command `roomcast`: selects the command and reports its failure as one line on stderr and an exit
 * code (2 for a user error, 1 for the rest).
 *
 * Not here: the commands (`serve.ts`, `load.ts`, `locks.ts`, `token.ts`, `demo.ts`).
 */
import { Command, CommanderError } from 'commander';
import { ConfigError } from '../errors.js';
import { options } from '../options/index.js';
import { version } from '../version.js';
import { checkConfigCommand } from './check-config.js';
import { completionCommand } from './completion.js';
import { demoCommand } from './demo.js';
import { CommandError, leaveWithReader } from './failure.js';
import { loadCommand } from './load.js';
import { locksCommand } from './locks.js';
import { serveCommand } from './serve.js';
import { tokenCommand } from './token.js';

const program = new Command('roomcast')
  .description('Real-time rooms over WebSocket and SockJS.')
  .version(version);
program.addCommand(serveCommand());
program.addCommand(checkConfigCommand());
program.addCommand(locksCommand());
program.addCommand(tokenCommand());
program.addCommand(loadCommand());
program.addCommand(demoCommand());
program.addCommand(completionCommand(program));
const withAll = (command: Command): Command[] => [command, ...command.commands.flatMap(withAll)];
for (const command of withAll(program)) {
  command.exitOverride().configureOutput({ outputError: () => undefined });
}

// The reader of the output may close it early, as `head` does.
process.stdout.on('error', leaveWithReader);

try {
  await program.parseAsync();
} catch (error) {
  fail(error);
}

function fail(error: unknown): void {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return;
    // If no command is given, commander has printed the help already.
    end(2, error.code === 'commander.help' ? '' : `roomcast: ${explain(error)}\n`);
  } else if (error instanceof ConfigError) {
    end(2, error.errors.map(({ message }) => `roomcast: ${message}\n`).join(''));
  } else if (error instanceof CommandError) end(1, `roomcast: ${error.message}\n`);
  else throw error;
}

/** Commander's message in one line; adds the allowed values if the message does not name them. */
function explain({ code, message }: CommanderError): string {
  const line = message.replace(/^error: /, '').replaceAll('\n', ' ');
  if (code.startsWith('commander.unknown') && !line.includes('Did you mean')) {
    const command = program.commands.find((each) => each.name() === process.argv[2]);
    return `${line}: see ${['roomcast', command?.name(), '--help'].filter(Boolean).join(' ')}`;
  }
  if (code !== 'commander.optionMissingArgument') return line;
  const option = options.find(({ flag }) => line.includes(`'--${flag} `));
  return option ? `${line}: give ${option.allowed}` : line;
}

function end(exitCode: number, line: string): void {
  process.stderr.write(line, () => process.exit(exitCode));
}
