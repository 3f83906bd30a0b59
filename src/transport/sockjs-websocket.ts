/**
 * SockJS over a WebSocket, `/<server>/<session>/websocket` under its prefix: the frames of the other
 * SockJS transports, one per text frame. Heartbeats are WebSocket pings.
 *
 * Not here: the connection (`websocket.ts`).
 */
import { sockjsFraming } from './sockjs-framing.js';
import type { Dialect } from './websocket.js';
import { textFrameOf } from './websocket-frame.js';

export const sockjsDialect: Dialect = {
  framing: sockjsFraming('sockjs-websocket', textFrameOf),
  opening: 'o',
  unwrap(frame) {
    // An empty frame is allowed and contains no message.
    if (frame === '') return [];
    let value: unknown;
    try {
      value = JSON.parse(frame);
    } catch {
      return null;
    }
    const texts: readonly unknown[] = Array.isArray(value) ? value : [value];
    return texts.every((text) => typeof text === 'string') ? texts : null;
  },
  closing: (code, text) => `c${JSON.stringify([code, text])}`,
};
