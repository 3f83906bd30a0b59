/** Ending a connection so that nothing of it is left. */
import type { Socket } from 'node:net';
import { unsentBytes } from './raw-write.js';

/**
 * Ends a connection at once and frees what the kernel holds for it, read or not. Unlike
 * `resetAndDestroy` alone it also does so while the socket's own end is on its way to the kernel,
 * which takes a turn of the loop: reset just then, Node leaves the connection open for ever.
 */
export function resetSocket(socket: Socket): void {
  const isEnding = socket.writableEnded && !socket.writableFinished && unsentBytes(socket) === 0;
  if (isEnding) socket.once('finish', () => socket.resetAndDestroy());
  else socket.resetAndDestroy();
}
