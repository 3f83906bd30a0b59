/**
 * `history`: sends the caller past messages of a room it has joined, in pages, and then a reply, with an
 * `id` or without.
 */
import { Refusal } from '../../errors.js';
import { checkEpoch, checkRoom, checkSeq } from '../../protocol/fields.js';
import type { HistoryRequest } from '../../room/backfills.js';
import type { Command } from './command.js';
import { tooFast } from './too-fast.js';

interface History {
  readonly room: string;
  readonly wanted: HistoryRequest;
}

export const history: Command<History> = {
  type: 'history',
  isPipelined: true,
  check(fields, limits) {
    const room = checkRoom(fields['room'], limits);
    const { from, to, epoch, last, before } = fields;
    if (last !== undefined) {
      for (const [name, other] of Object.entries({ from, to, epoch })) {
        if (other !== undefined) {
          throw new Refusal(
            'bad_position',
            `last and ${name} may not be given together; ${EITHER}`,
          );
        }
      }
      return {
        room,
        wanted: {
          last: checkSeq(last, 'last', 1),
          before: before === undefined ? undefined : checkSeq(before, 'before', 1),
        },
      };
    }
    if (before !== undefined) {
      throw new Refusal('bad_position', `before needs last; ${EITHER}`);
    }
    const wanted = {
      from: checkSeq(from, 'from', 1),
      to: checkSeq(to, 'to', 1),
      epoch: epoch === undefined ? undefined : checkEpoch(epoch, 'epoch'),
    };
    if (wanted.from > wanted.to) {
      throw new Refusal(
        'bad_position',
        `from is ${wanted.from} and to ${wanted.to}; from may not be larger.`,
      );
    }
    return { room, wanted };
  },
  run(caller, id, { room, wanted }) {
    const { config, hub, histories, member } = caller;
    if (!histories.take()) throw tooFast('history', config.historyRate);
    return hub.backfill(member, room, id, wanted);
  },
};

const EITHER = 'give from and to, or last, or before and last.';
