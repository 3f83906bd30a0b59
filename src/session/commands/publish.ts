/** `publish`: a message for everybody in a room. Its frame has the transport's bound. */
import type { Position } from '../../broker/broker.js';
import { type Checked, checkPublish } from '../../protocol/fields.js';
import type { Command } from './command.js';
import { tooFast } from './too-fast.js';

export const publish: Command<Checked> = {
  type: 'publish',
  // The broker keeps its order.
  isPipelined: true,
  maxBytes: () => Number.POSITIVE_INFINITY,
  check: ({ room, data, key, uid }, limits, text) =>
    checkPublish(room, data, key, uid, limits, text),
  run(caller, id, { room, data, key, uid }) {
    const { config, hub, member, publishes } = caller;
    if (!publishes.take()) throw tooFast('publish', config.publishRate);
    const reply = ({ seq }: Position) => caller.reply(id, { type: 'published', id, room, seq });
    const send = (text: string) => hub.publish(member, room, text, { key, uid });
    const text = caller.asking?.publish(room, data) ?? data;
    const published = typeof text === 'string' ? send(text) : text.then(send);
    if (published instanceof Promise) return published.then(reply);
    reply(published);
    return undefined;
  },
};
