/** Resets connections so that nothing of them is left. */
import type { Socket } from 'node:net';
import { isTcp, unsentBytes } from './raw-write.js';

/**
 * Resets a connection and frees what the kernel holds for it, read or not. Unlike `resetAndDestroy`
 * alone, it also works while the socket's own end is on its way to the kernel, which takes an event loop
 * turn: if reset just then, Node leaves the connection open for ever.
 */
export function resetSocket(socket: Socket): void {
  const isEnding = socket.writableEnded && !socket.writableFinished && unsentBytes(socket) === 0;
  if (isEnding) socket.once('finish', () => reset(socket));
  else reset(socket);
}

/** Only plain TCP has a reset; under TLS, and on a pipe, the socket can only be destroyed. */
function reset(socket: Socket): void {
  if (isTcp(socket)) socket.resetAndDestroy();
  else socket.destroy();
}
