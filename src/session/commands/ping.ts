/** `ping`: replies with `pong`. */
import type { Command } from './command.js';

export const ping: Command<null> = {
  type: 'ping',
  isOpen: true,
  check: () => null,
  run(caller, id) {
    caller.reply(id, { type: 'pong', id });
    return undefined;
  },
};
