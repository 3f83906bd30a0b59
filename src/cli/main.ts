#!/usr/bin/env node
/**
 * The command `roomcast`: which command runs, and how a failure is told: one line on stderr, and an
 * exit code (2 for what the user wrote, 1 for the rest).
 *
 * Not here: what the commands do (`serve.ts`, `load.ts`, `locks.ts`, `token.ts`, `demo.ts`).
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

// Whoever reads the output may have had enough of it, as `head` has.
process.stdout.on('error', leaveWithReader);

try {
  await program.parseAsync();
} catch (error) {
  fail(error);
}

function fail(error: unknown): void {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return;
    // Without a command commander has printed the help.
    end(2, error.code === 'commander.help' ? '' : `roomcast: ${explain(error)}\n`);
  } else if (error instanceof ConfigError) {
    end(2, error.errors.map(({ message }) => `roomcast: ${message}\n`).join(''));
  } else if (error instanceof CommandError) end(1, `roomcast: ${error.message}\n`);
  else throw error;
}

/** Commander's message on one line, with what would be right where it does not say that. */
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
