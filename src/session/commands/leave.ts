/** `leave`: unsubscribes the caller from a room. */
import { checkRoom } from '../../protocol/fields.js';
import type { Command } from './command.js';

export const leave: Command<string> = {
  type: 'leave',
  check: ({ room }, limits) => checkRoom(room, limits),
  run(caller, id, room) {
    caller.hub.memberships.leave(caller.member, room);
    caller.reply(id, { type: 'left', id, room });
    return undefined;
  },
};
