/**
 * Connections that their peers have ended or lost, on their way to be ended here. What Node, `ws` and
 * we do for each takes about a tenth of a millisecond, and the kernel tells of all of them at once when
 * a proxy restarts: 9,000 would keep the loop for a second. So no more than `PER_TURN` are ended in a
 * turn of the loop, where they are told as far as that goes; the others wait, and deliveries, input
 * and timers come in between.
 *
 * A stream cannot be asked to wait with its end. What Node calls when the kernel has told of a read
 * is a property of the socket's handle, `onread`; it is not documented. Where there is none, or the
 * connection is not plain TCP, sockets end as Node has it.
 *
 * Not here: what an end means to a session (`session/`), members that leave their rooms, which has
 * slices of its own (`room/departures.ts`).
 */
import type { Socket } from 'node:net';
import { setImmediate } from '../time.js';

/** Ends of one turn of the loop. */
export const PER_TURN = 32;

/** Called with what was read, or with nothing at the end and for an error. */
type OnRead = (this: Handle, bytes: ArrayBuffer | undefined) => unknown;

interface Handle {
  onread: OnRead;
  /** 0, or the number of an error: there is no peer any more. */
  getpeername(into: object): number;
}

type SocketWithHandle = Socket & { readonly _handle?: Handle | null };

/** Of the process, as its loop is. */
const waiting = new Set<Socket>();
const taken = new WeakSet<Socket>();
let endedInTurn = 0;
let isScheduled = false;

/** From now on the end of this socket is told when it is its turn. May be called twice. */
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

/** As Node does it: a peer that has ended its side may still read, one that is lost does not. */
function end(socket: SocketWithHandle): void {
  const handle = socket._handle;
  if (socket.destroyed || !handle) return;
  // Which of the two it was, Node has told by a number that the next read has overwritten.
  if (handle.getpeername({}) !== 0) {
    socket.destroy();
    return;
  }
  socket.push(null);
  socket.read(0);
}
