/** `ping`: the server is there. */
import type { Command } from './command.js';

export const ping: Command<null> = {
  type: 'ping',
  check: () => null,
  run(caller, id) {
    caller.reply(id, { type: 'pong', id });
    return undefined;
  },
};
