/**
 * Writing to a socket past its stream. Beside the system call `socket.write` costs a request object,
 * three layers of calls, a tick for a callback nobody waits for, and a look at the state of the
 * stream, which among a thousand sockets is in no cache. Without it, and with the flag in `Member`, a
 * delivery costs about a quarter less when messages come one at a time (bench/README.md).
 *
 * The order of writes is that of the calls on the handle either way. What the stream itself holds
 * back, because the kernel is full, is behind anything written here; that is whole frames of `ws`.
 *
 * The handle is not a documented part of Node. It is asked what it can do first, and where that is
 * not what is known here, the stream does the write.
 */
import type { Socket } from 'node:net';

/** What Node keeps for a write that is under way. */
interface WriteRequest {
  /** -1 while it is not. */
  getAsyncId(): number;
  /** What is being written, so that it lives as long as that takes. */
  buffer: Buffer | undefined;
}

/** What a socket writes to, where it is known how to. */
export interface Handle {
  /** Bytes the kernel has not taken. */
  readonly writeQueueSize: number;
  /** Bytes ever written to it. */
  readonly bytesWritten: number;
  /** Whether the socket is read from; lies in the handle itself. */
  readonly reading?: boolean;
  /**
   * 0, the number of an error, or undefined when it is closed; given no request, also the one it
   * has made for the write.
   */
  writeBuffer(request: WriteRequest | null, buffer: Buffer): number | undefined | WriteRequest;
}

type SocketWithHandle = Socket & { readonly _handle?: Handle | null };

const EMPTY = Buffer.alloc(0);

/** The class of the handles whose ways have been learnt from the first write of a stream. */
let Known: unknown = null;
/** What a handle has to be given (Node 20 to 24), null where it makes its own (26). */
let Request: (new () => WriteRequest) | null = null;
/** One that has not been needed yet. */
let spare: WriteRequest | null = null;

/**
 * The socket's handle, to be kept by whoever writes: among a thousand of them the socket itself is
 * in no cache. Null where writing past the stream is not known to work, or not yet. A handle that
 * is kept beyond its socket takes nothing.
 */
export function handleOf(socket: SocketWithHandle): Handle | null {
  const handle = socket._handle;
  if (!handle) return null;
  if (Known === null) learn(handle);
  return handle.constructor === Known ? handle : null;
}

/** Told when the kernel has a batch, or with an error when it never will. */
export type Flushed = (error?: Error | null) => void;

/**
 * Writes `buffer` to `handle`, or where that is null by way of the stream. True: the kernel has all
 * of it. False: `onFlushed` is called when it has, with an error when the write failed, and perhaps
 * without one when the socket has been destroyed; nothing may be written here before that.
 */
export function rawWrite(
  socket: Socket,
  handle: Handle | null,
  buffer: Buffer,
  onFlushed: Flushed,
): boolean {
  if (handle === null) return streamWrite(socket, buffer, onFlushed);
  const written = tryWrite(handle, buffer);
  if (written === 0) return true;
  if (typeof written !== 'object') {
    // What is told of it is what the socket's 'close' brings, as after any other failed write.
    socket.destroy();
    return false;
  }
  written.buffer = buffer;
  // Queued behind it, so that the stream does not end the connection before that has gone.
  socket.write(EMPTY, onFlushed);
  return false;
}

/** 0: the kernel has all of it; a request: the write that is under way; anything else has failed. */
function tryWrite(handle: Handle, buffer: Buffer): number | undefined | WriteRequest {
  if (Request === null) return handle.writeBuffer(null, buffer);
  spare ??= new Request();
  const error = handle.writeBuffer(spare, buffer);
  if (error !== 0 || spare.getAsyncId() === -1) return error;
  const request = spare;
  spare = null;
  return request;
}

/** Bytes written to the socket that the kernel has not taken, past its stream or not. */
export function unsentBytes(socket: Socket): number {
  return Math.max(socket.writableLength, (socket as SocketWithHandle)._handle?.writeQueueSize ?? 0);
}

/** Whether the socket is a TCP connection that nothing stands in front of, or none any more. */
export function isTcp(socket: SocketWithHandle): boolean {
  return !socket._handle || socket._handle.constructor.name === 'TCP';
}

/** Bytes the kernel has ever taken from us for this socket. */
export function kernelHas(socket: SocketWithHandle): number {
  const handle = socket._handle;
  return handle ? handle.bytesWritten - handle.writeQueueSize : 0;
}

/** Whether the kernel has refused bytes: it is full of what the peer has not taken. */
export function isKernelFull(socket: SocketWithHandle): boolean {
  return (socket._handle?.writeQueueSize ?? 0) > 0;
}

function streamWrite(socket: Socket, buffer: Buffer, onFlushed: Flushed): boolean {
  if (socket.destroyed) return false;
  // A callback on every write would cost a fifth of the fan-out; an empty write behind the one
  // the kernel did not take is called back when that has gone.
  socket.write(buffer);
  if (socket.errored) return false;
  if (socket.writableLength === 0) return true;
  socket.write(EMPTY, onFlushed);
  return false;
}

/** Looks how the stream asks its handle to write, which is the one way to come by a request. */
function learn(handle: Handle): void {
  if (handle.constructor.name !== 'TCP' || typeof handle.writeQueueSize !== 'number') return;
  // It has not written since it was last looked at.
  if (Object.hasOwn(handle, 'writeBuffer')) return;
  const { writeBuffer } = handle;
  handle.writeBuffer = function (request, buffer) {
    Reflect.deleteProperty(handle, 'writeBuffer');
    if (request === null || typeof request.getAsyncId === 'function') {
      Known = handle.constructor;
      Request = request === null ? null : (request.constructor as typeof Request);
    }
    return writeBuffer.call(this, request, buffer);
  };
}
