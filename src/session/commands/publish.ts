/** `publish`: sends a message to all members of a room. Its frame has the transport's size limit. */
import type { Position } from '../../broker/broker.js';
import { type Checked, type CommandId, checkPublish } from '../../protocol/fields.js';
import type { Caller, Command } from './command.js';
import { tooFast } from './too-fast.js';

export const publish: Command<Checked> = {
  type: 'publish',
  // The broker keeps the order.
  isPipelined: true,
  isInOrderOfApp: true,
  maxBytes: () => Number.POSITIVE_INFINITY,
  check: ({ room, data, key, uid }, limits, text) =>
    checkPublish(room, data, key, uid, limits, text),
  run(caller, id, message) {
    const { config, hub, member, publishes } = caller;
    if (!publishes.take()) throw tooFast('publish', config.publishRate);
    const { room, data } = message;
    const text = caller.asking?.publish(room, data) ?? data;
    if (typeof text !== 'string') {
      return text
        .then((said) => hub.publish(member, room, said, message))
        .then((position) => reply(caller, id, room, position));
    }
    const published = hub.publish(member, room, text, message);
    if (published instanceof Promise) {
      if (id === undefined) return published;
      return published.then((position) => reply(caller, id, room, position));
    }
    // No closure and no event for a publish without an `id`: they would be most of the garbage it makes.
    if (id !== undefined) reply(caller, id, room, published);
    return undefined;
  },
};

function reply(caller: Caller, id: CommandId | undefined, room: string, { seq }: Position): void {
  caller.reply(id, { type: 'published', id, room, seq });
}
