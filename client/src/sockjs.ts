/**
 * Falls back to SockJS where WebSockets are blocked. After two sockets that received nothing, every
 * other attempt is a SockJS session. Once one of those has worked, all attempts are, for an hour.
 *
 * A subpath of the package: `connect(url, { WebSocket: withSockJS((url) => new SockJS(url)) })`.
 */
import { builtIn } from './link.js';
import type { Socket, SocketFactory } from './types.js';

const SILENT = 2;
const KEPT_MS = 3_600_000;

type Told = Socket & { addEventListener(type: string, fn: () => void): void };

export function withSockJS(
  openSockJS: SocketFactory,
  openWebSocket: SocketFactory = builtIn,
): SocketFactory {
  let silent = 0;
  let keptUntil = 0;
  return (url) => {
    const isKept = Date.now() < keptUntil;
    const isSockJS = isKept || (silent >= SILENT && silent % 2 === 0);
    const socket = isSockJS ? openSockJS(sockjsOf(url)) : openWebSocket(url);
    silent += 1;
    (socket as Told).addEventListener('message', () => {
      silent = 0;
      if (isSockJS && !isKept) keptUntil = Date.now() + KEPT_MS;
    });
    return socket;
  };
}

/** The SockJS URL of the same server. */
const sockjsOf = (url: string): string =>
  url.replace(/^ws/, 'http').replace(/\/ws(\?.*)?$/, '/sockjs');
