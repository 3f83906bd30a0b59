/** `join`: the caller gets what is published to a room from now on. */
import { checkRoom } from '../../protocol/fields.js';
import type { Joined } from '../../room/hub.js';
import type { Command } from './command.js';
import { tooFast } from './too-fast.js';

export const join: Command<string> = {
  type: 'join',
  check: ({ room }, limits) => checkRoom(room, limits),
  run(caller, id, room) {
    const { config, hub, joins, member } = caller;
    if (!joins.take()) throw tooFast('join', config.joinRate);
    const reply = ({ seq, epoch, members }: Joined) =>
      caller.reply(id, { type: 'joined', id, room, seq, epoch, members });
    const joined = hub.join(member, room);
    if (joined instanceof Promise) return joined.then(reply);
    reply(joined);
    return undefined;
  },
};
