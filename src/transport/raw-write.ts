/**
 * Writes to a socket past its stream. Besides the system call, `socket.write` costs a request object,
 * three layers of calls, a tick for an unused callback, and a look at the stream's state, which among a
 * thousand sockets is in no cache. Without it, and with the flag in `Outbox`, a delivery costs about a
 * quarter less when messages come one at a time (bench/README.md).
 *
 * Writes keep the order of the calls on the handle either way. Data that the stream itself holds back,
 * because the kernel is full, goes after anything written here; that is whole frames of `ws`.
 *
 * The handle is undocumented in Node. Its behaviour is checked first; if it is not the expected one, the
 * stream does the write.
 */
import type { Socket } from 'node:net';

/** Node's request object of a pending write. */
interface WriteRequest {
  /** -1 while no write is pending. */
  getAsyncId(): number;
  /** Keeps the data alive until it is written. */
  buffer: Buffer | undefined;
}

/** The handle of a socket, if its behaviour is known. */
export interface Handle {
  /** Bytes the kernel has not taken. */
  readonly writeQueueSize: number;
  /** Total bytes written to it. */
  readonly bytesWritten: number;
  /** Whether the socket is being read; a field of the handle itself. */
  readonly reading?: boolean;
  /**
   * Returns 0, an error number, or undefined if the handle is closed; called without a request it may
   * also return the request it created for the write.
   */
  writeBuffer(request: WriteRequest | null, buffer: Buffer): number | undefined | WriteRequest;
}

type SocketWithHandle = Socket & { readonly _handle?: Handle | null };

const EMPTY = Buffer.alloc(0);

/** Class of the handles whose behaviour was learnt from a stream's first write. */
let Known: unknown = null;
/** Class of the request a handle needs (Node 20 to 24); null if the handle creates its own (Node 26). */
let Request: (new () => WriteRequest) | null = null;
/** An unused request, ready for the next write. */
let spare: WriteRequest | null = null;

/**
 * The socket's handle, for the writer to keep: among a thousand sockets the socket itself is in no
 * cache. Null if writing past the stream is not known to work, or not yet. A handle kept beyond its
 * socket takes nothing.
 */
export function handleOf(socket: SocketWithHandle): Handle | null {
  const handle = socket._handle;
  if (!handle) return null;
  if (Known === null) learn(handle);
  return handle.constructor === Known ? handle : null;
}

/** Called when the kernel has a batch, or with an error if it never will. */
export type Flushed = (error?: Error | null) => void;

/**
 * Writes `buffer` to `handle`, or through the stream if it is null. Returns true if the kernel has all
 * of it. If false, `onFlushed` is called once the kernel has it, with an error if the write failed, and
 * perhaps without one if the socket was destroyed; nothing may be written here before that.
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
    // The socket's 'close' event reports it, as after any other failed write.
    socket.destroy();
    return false;
  }
  written.buffer = buffer;
  // Queued behind it, so that the stream does not end the connection before it is written.
  socket.write(EMPTY, onFlushed);
  return false;
}

/**
 * Returns 0 if the kernel has all of it, a request if the write is pending; anything else is a failure.
 */
function tryWrite(handle: Handle, buffer: Buffer): number | undefined | WriteRequest {
  if (Request === null) return handle.writeBuffer(null, buffer);
  spare ??= new Request();
  const error = handle.writeBuffer(spare, buffer);
  if (error !== 0 || spare.getAsyncId() === -1) return error;
  const request = spare;
  spare = null;
  return request;
}

/** Bytes written to the socket, through the stream or not, that the kernel has not taken. */
export function unsentBytes(socket: Socket): number {
  return Math.max(socket.writableLength, (socket as SocketWithHandle)._handle?.writeQueueSize ?? 0);
}

/** Whether the socket is a plain TCP connection (no TLS or pipe), or already has no handle. */
export function isTcp(socket: SocketWithHandle): boolean {
  return !socket._handle || socket._handle.constructor.name === 'TCP';
}

/** Total bytes the kernel has taken for this socket. */
export function kernelHas(socket: SocketWithHandle): number {
  const handle = socket._handle;
  return handle ? handle.bytesWritten - handle.writeQueueSize : 0;
}

/** Whether the kernel has refused bytes: its buffer is full of what the peer has not taken. */
export function isKernelFull(socket: SocketWithHandle): boolean {
  return (socket._handle?.writeQueueSize ?? 0) > 0;
}

function streamWrite(socket: Socket, buffer: Buffer, onFlushed: Flushed): boolean {
  if (socket.destroyed) return false;
  // A callback on every write would cost a fifth of the fan-out. The callback of an empty write behind
  // the one that the kernel did not take is called once that is written.
  socket.write(buffer);
  if (socket.errored) return false;
  if (socket.writableLength === 0) return true;
  socket.write(EMPTY, onFlushed);
  return false;
}

/** Observes how the stream calls its handle: the only way to obtain a request. */
function learn(handle: Handle): void {
  if (handle.constructor.name !== 'TCP' || typeof handle.writeQueueSize !== 'number') return;
  // Already observed, and it has not written since.
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
