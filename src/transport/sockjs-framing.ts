/**
 * Framing for the SockJS transports. V6: all share one encoding; only the few bytes around a batch
 * differ.
 *
 * A message is a quoted JSON string in which characters that browsers are known to change or drop are
 * escaped. `%` is escaped too, since clients of `eventsource` decode percent signs: a text without any
 * means the same on every transport.
 *
 * Not here: sessions over HTTP (`sockjs-session.ts`) and over a WebSocket (`sockjs-websocket.ts`).
 */
import { type Encoding, type Framing, TRANSPORTS, type TransportName } from './transport.js';

/** Surrogates, in pairs or not, invisible and directional marks, noncharacters; and `%`. */
const FRAGILE = /[%\ud800-\udfff\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\uffff]/g;

const escaped = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;

const QUOTED: Encoding = {
  index: 1,
  encode: (text) => Buffer.from(JSON.stringify(text).replace(FRAGILE, escaped)),
};

const OPEN = Buffer.from('a[');
const COMMA = Buffer.from(',');
const SHUT = Buffer.from(']');

/**
 * The framing of a SockJS transport: an array frame, `a["…","…"]`, which `wrap` puts into the
 * transport's own format. `parts` make up that frame; `bytes` is the sum of their lengths.
 */
export function sockjsFraming(
  name: TransportName,
  wrap: (parts: readonly Buffer[], bytes: number) => Buffer,
): Framing {
  return {
    index: TRANSPORTS.indexOf(name),
    encoding: QUOTED,
    join(frames, bytes) {
      const parts: Buffer[] = [];
      for (const frame of frames) parts.push(parts.length === 0 ? OPEN : COMMA, frame);
      parts.push(SHUT);
      return wrap(parts, bytes + frames.length - 1 + OPEN.length + SHUT.length);
    },
  };
}
