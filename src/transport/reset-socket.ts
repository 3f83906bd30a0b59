/** Ending a connection so that nothing of it is left. */
import type { Socket } from 'node:net';
import { isTcp, unsentBytes } from './raw-write.js';

/**
 * Ends a connection at once and frees what the kernel holds for it, read or not. Unlike
 * `resetAndDestroy` alone it also does so while the socket's own end is on its way to the kernel,
 * which takes a turn of the loop: reset just then, Node leaves the connection open for ever.
 */
export function resetSocket(socket: Socket): void {
  const isEnding = socket.writableEnded && !socket.writableFinished && unsentBytes(socket) === 0;
  if (isEnding) socket.once('finish', () => reset(socket));
  else reset(socket);
}

/** Only TCP has a reset; under TLS, and on a pipe, closing is all that can be done from here. */
function reset(socket: Socket): void {
  if (isTcp(socket)) socket.resetAndDestroy();
  else socket.destroy();
}
