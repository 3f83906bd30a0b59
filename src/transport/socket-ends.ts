/**
 * Spreads the handling of closed connections over event loop turns. What Node, `ws` and this server do
 * for each takes about a tenth of a millisecond, and the kernel reports all of them at once when a proxy
 * restarts: 9,000 would block the loop for a second. So at most `PER_TURN` are ended per turn,
 * immediately as far as that allows; the rest waits, so that deliveries, input and timers run in
 * between.
 *
 * A stream's end cannot be delayed. Instead this wraps the handle's undocumented `onread`, which Node
 * calls after each read. If there is none, or the connection is not plain TCP, sockets end as usual.
 *
 * Not here: the end of a session (`session/`), members leaving their rooms, which is sliced separately
 * (`room/departures.ts`).
 */
import type { Socket } from 'node:net';
import { setImmediate } from '../time.js';

/** Maximum connections ended per event loop turn. */
export const PER_TURN = 32;

/** Called with the input, or with nothing at the end and for an error. */
type OnRead = (this: Handle, bytes: ArrayBuffer | undefined) => unknown;

interface Handle {
  onread: OnRead;
  /** Returns 0, or an error number if there is no peer any more. */
  getpeername(into: object): number;
}

type SocketWithHandle = Socket & { readonly _handle?: Handle | null };

/** Shared by the whole process, like its event loop. */
const waiting = new Set<Socket>();
const taken = new WeakSet<Socket>();
let endedInTurn = 0;
let isScheduled = false;

/** Delays the socket's end to its turn. May be called twice. */
export function takeTurnsAtEnd(socket: SocketWithHandle): void {
  const handle = socket._handle;
  if (handle?.constructor.name !== 'TCP' || taken.has(socket)) return;
  const { onread } = handle;
  if (typeof onread !== 'function') return;
  taken.add(socket);
  handle.onread = function (bytes) {
    if (bytes !== undefined) return onread.call(this, bytes);
    waiting.add(socket);
    if (endedInTurn < PER_TURN) endSome();
    return undefined;
  };
}

function endSome(): void {
  for (const socket of waiting) {
    if (endedInTurn === PER_TURN) break;
    endedInTurn += 1;
    waiting.delete(socket);
    end(socket);
  }
  if (isScheduled) return;
  isScheduled = true;
  setImmediate(nextTurn);
}

function nextTurn(): void {
  isScheduled = false;
  endedInTurn = 0;
  if (waiting.size > 0) endSome();
}

/** As Node does it: a peer that ended its side may still read, a lost one does not. */
function end(socket: SocketWithHandle): void {
  const handle = socket._handle;
  if (socket.destroyed || !handle) return;
  // Node reported which of the two it was in a field that later reads have overwritten.
  if (handle.getpeername({}) !== 0) {
    socket.destroy();
    return;
  }
  socket.push(null);
  socket.read(0);
}
