/** The commands, by name. */
import { Refusal } from '../../errors.js';
import type { Fields } from '../../protocol/codec.js';
import { type CommandLimits, show } from '../../protocol/fields.js';
import { auth } from './auth.js';
import type { Command } from './command.js';
import { history } from './history.js';
import { join } from './join.js';
import { leave } from './leave.js';
import { ping } from './ping.js';
import { publish } from './publish.js';

const COMMANDS = new Map<unknown, Command>(
  [join, leave, publish, history, ping, auth].map((command) => [command.type, command]),
);

const names = [...COMMANDS.keys()].map((name) => `"${name}"`);
const ANY_OF_THEM = `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;

/**
 * Finds the command for a frame of `bytes` bytes.
 * @throws Refusal `command_too_big`, `bad_command`
 */
export function commandOf({ type }: Fields, bytes: number, limits: CommandLimits): Command {
  const command = COMMANDS.get(type);
  const maxBytes = command?.maxBytes?.(limits) ?? limits.maxCommandBytes;
  if (bytes > maxBytes) {
    throw new Refusal(
      'command_too_big',
      `The command has ${bytes} bytes; ${maxBytes} are allowed for all but publish.`,
    );
  }
  if (command !== undefined) return command;
  throw new Refusal('bad_command', `type is ${show(type)}; it may be ${ANY_OF_THEM}.`);
}
