/**
 * `join`: subscribes the caller to a room. With `since` it also gets the messages after a position, with
 * `last` the last few messages.
 */
import { Refusal } from '../../errors.js';
import type { Position } from '../../protocol/events.js';
import { checkPosition, checkRoom, checkSeq, show } from '../../protocol/fields.js';
import type { Joined } from '../../room/memberships.js';
import type { Command } from './command.js';
import { tooFast } from './too-fast.js';

interface Join {
  readonly room: string;
  readonly since: Position | undefined;
  readonly last: number | undefined;
  /** Whether to send presence events. */
  readonly presence: boolean;
}

export const join: Command<Join> = {
  type: 'join',
  check(fields, limits) {
    const room = checkRoom(fields['room'], limits);
    const { since, last, presence = false } = fields;
    if (since !== undefined && last !== undefined) {
      throw new Refusal(
        'bad_position',
        'since and last may not be given together; give one of them.',
      );
    }
    if (typeof presence !== 'boolean') {
      throw new Refusal('bad_command', `presence is ${show(presence)}; it may be true or false.`);
    }
    return {
      room,
      since: since === undefined ? undefined : checkPosition(since),
      last: last === undefined ? undefined : checkSeq(last, 'last', 1),
      presence,
    };
  },
  run(caller, id, { room, since, last, presence }) {
    const { config, hub, joins, member } = caller;
    if (!joins.take()) throw tooFast('join', config.joinRate);
    const reply = (joined: Joined) => {
      const event = { type: 'joined', id, room, ...joined } as const;
      // The result of a recovery is always sent, even without an `id`: a changed epoch would go
      // unnoticed.
      if (joined.recover === undefined) caller.reply(id, event);
      else member.send(event);
    };
    const enter = () => hub.memberships.join(member, room, { since, last, presence }, reply);
    const asked = caller.asking?.join(room);
    const joined = asked === undefined ? enter() : asked.then(enter);
    return joined instanceof Promise ? joined.then(() => {}) : undefined;
  },
};
