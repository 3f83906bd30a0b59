/**
 * Builds the bytes of one write: the frame of a message, joined frames, and both together as in a flush,
 * which does it once for all members. One operation is one batch, of as many messages as its name says.
 */
import { JsonCodec } from '../../dist/protocol/json.js';
import { Flush } from '../../dist/room/flush.js';
import { Format } from '../../dist/room/format.js';
import { plainFraming, textFrame } from '../../dist/transport/websocket-frame.js';
import { sink } from './harness.js';

const ROOM = 'chat:lobby';
const data = JSON.stringify('x'.repeat(128));
const format = new Format(0, new JsonCodec(), plainFraming.encoding);

/** @param {number} count */
const messages = (count) =>
  Array.from({ length: count }, (_, i) => {
    const from = 'kQx0T2h4Zb1m';
    return { room: ROOM, seq: i + 1, epoch: 'k3', from, at: 1795298462604, data };
  });

/** @param {number} count */
const texts = (count) => messages(count).map((message) => format.codec.encodeMessage(message));

/** @param {number} count */
function framing(count) {
  const made = texts(count);
  return (/** @type {number} */ n) => {
    for (let i = 0; i < n; i += 1) {
      for (const text of made) sink.sum += textFrame(text).length;
    }
  };
}

/** @param {number} count */
function joining(count) {
  const frames = texts(count).map(textFrame);
  const bytes = frames.reduce((sum, { length }) => sum + length, 0);
  return (/** @type {number} */ n) => {
    for (let i = 0; i < n; i += 1) sink.sum += plainFraming.join(frames, bytes).length;
  };
}

/** @param {number} count */
function flushing(count) {
  const pending = messages(count).map((content) => ({
    first: content.seq,
    last: content.seq,
    key: undefined,
    acceptedAt: 0,
    content,
    bytes: data.length,
  }));
  // The parts of a member that a flush uses before it offers a batch.
  const outbox = {
    transport: { framing: plainFraming },
    format,
    kind: format.kindOf(plainFraming),
  };
  const subscription = /** @type {import('../../dist/room/subscription.js').Subscription} */ (
    /** @type {unknown} */ ({ member: { id: 'own' }, outbox, offered: 0 })
  );
  return (/** @type {number} */ n) => {
    for (let i = 0; i < n; i += 1) {
      sink.sum += new Flush(ROOM, [subscription], pending).for(subscription)?.batches.length ?? 0;
    }
  };
}

/** @returns {import('./harness.js').Case[]} */
export const cases = () =>
  [1, 8, 64].flatMap((count) => [
    { name: `${count} × 128 B: frame`, n: Math.ceil(2000 / count), run: framing(count) },
    { name: `${count} × 128 B: join frames`, n: Math.ceil(2000 / count), run: joining(count) },
    {
      name: `${count} × 128 B: flush, frames and batches`,
      n: Math.ceil(2000 / count),
      run: flushing(count),
    },
  ]);
