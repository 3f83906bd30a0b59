/**
 * How text becomes bytes on the SockJS transports, and what comes back from them. V6: one encoding
 * serves them all; only the few bytes around a batch differ.
 *
 * A message is a quoted JSON string with the characters escaped that browsers have been seen to
 * change or drop, as the SockJS protocol lists them. `%` is escaped too: `eventsource` clients
 * decode percent signs, so a text without one means the same on every transport.
 *
 * Not here: sessions over HTTP (`sockjs-session.ts`), WebSocket frames (`websocket.ts`).
 */
import { CLOSE, type CloseReason } from '../errors.js';
import { type Encoding, type Framing, TRANSPORTS, type TransportName } from './transport.js';

// Surrogates on their own or in pairs, invisible and directional marks, and noncharacters.
const FRAGILE = /[%\ud800-\udfff\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\uffff]/g;

const quoted: Encoding = {
  index: 1,
  encode(text) {
    const json = JSON.stringify(text);
    return Buffer.from(json.replace(FRAGILE, escapeUnit));
  },
};

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/**
 * The framing of a SockJS transport: an array frame, `a["…","…"]`, between `after` and what
 * `before` gives for the length of that frame.
 */
export function sockjsFraming(
  name: TransportName,
  before: (frameBytes: number) => Buffer,
  after: string,
): Framing {
  const tail = Buffer.from(`]${after}`);
  return {
    index: TRANSPORTS.indexOf(name),
    encoding: quoted,
    join(frames, bytes) {
      const arrayBytes = bytes + frames.length - 1;
      const head = before(arrayBytes + 'a[]'.length);
      const batch = Buffer.allocUnsafe(head.length + 'a['.length + arrayBytes + tail.length);
      let at = head.copy(batch);
      batch[at++] = 0x61; // a
      for (let i = 0; i < frames.length; i += 1) {
        batch[at++] = i === 0 ? 0x5b : 0x2c; // [ or ,
        at += (frames[i] as Buffer).copy(batch, at);
      }
      tail.copy(batch, at);
      return batch;
    },
  };
}

/** The frame that tells a SockJS client why it was closed. */
export function closeFrame(reason: CloseReason): string {
  const { code, text } = CLOSE[reason];
  return `c${JSON.stringify([code, text])}`;
}
