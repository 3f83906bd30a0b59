/**
 * Text to the bytes of one write: a message's frame, frames joined, and both as a flush does it, once
 * for all members however many they are. An operation is one batch, of as many messages as its name says.
 */
import { JsonCodec } from '../../dist/protocol/json.js';
import { Flush } from '../../dist/room/flush.js';
import { plainFraming, textFrame } from '../../dist/transport/websocket-frame.js';
import { sink } from './harness.js';

const ROOM = 'chat:lobby';
const data = JSON.stringify('x'.repeat(128));
const { encodeMessage } = JsonCodec.prototype;

/** @param {number} count @returns {string[]} */
const texts = (count) =>
  Array.from({ length: count }, (_, seq) =>
    encodeMessage({ room: ROOM, seq, from: 'kQx0T2h4Zb1m', at: 1795298462604, data }),
  );

/** @param {number} count */
function framing(count) {
  const messages = texts(count);
  return (/** @type {number} */ n) => {
    for (let i = 0; i < n; i += 1) {
      for (const text of messages) sink.sum += textFrame(text).length;
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
  const pending = texts(count).map((text, i) => ({
    seq: i + 1,
    last: i + 1,
    counted: true,
    key: undefined,
    acceptedAt: 0,
    text,
  }));
  // All that a flush asks of a member before it offers it something.
  const subscription = /** @type {import('../../dist/room/subscription.js').Subscription} */ (
    /** @type {unknown} */ ({ member: { transport: { framing: plainFraming } }, offered: 0 })
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
