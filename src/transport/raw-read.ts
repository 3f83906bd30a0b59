/**
 * Reads from a socket past its stream, as `raw-write.ts` writes. For each read Node allocates a buffer
 * of 64 KiB, cuts it to the data, and passes it through a stream and two emitters. Here all sockets read
 * into one shared buffer, which is offered to a reader first; only what the reader leaves is copied and
 * takes the usual way.
 *
 * The handle is undocumented in Node, as is the place where it reports the length of a read. Both are
 * checked first; if they are not as expected, the stream does all the reading.
 *
 * Not here: decoding (`client-frame.ts`), scheduling (`intake.ts`).
 */
import type { Socket } from 'node:net';

const READ_BYTES = 64 * 1024;

/** Shared by all sockets; valid until the next read. */
const shared = Buffer.allocUnsafeSlow(READ_BYTES);
const sharedView = new DataView(shared.buffer);

/** Consumes input at once, where possible. */
export interface Reader {
  /** Called with the first `bytes` bytes of `view`; returns how many of them it used. */
  read(view: DataView, bytes: number): number;
}

interface Handle {
  reading: boolean;
  /** Called for each read, also an empty one, at the end and for an error. */
  onread: (this: Handle, bytes?: ArrayBuffer) => unknown;
  readStop(): number;
  useUserBuffer(buffer: Buffer): void;
}

type SocketWithHandle = Socket & { readonly _handle?: Handle | null };

/** Where Node reports the last read: its bytes, or a negative number for an end or error. */
interface LastRead {
  readonly streamBaseState: Int32Array;
  readonly kReadBytesOrError: number;
}

let lastRead: LastRead | null | undefined;

/**
 * Offers `reader` all further input of the socket, while the stream holds no earlier input. Returns
 * whether that is possible. Call once per socket, which must have no other reader.
 */
export function readPast(socket: SocketWithHandle, reader: Reader): boolean {
  const handle = socket._handle;
  if (lastRead === undefined) lastRead = find();
  if (lastRead === null || handle?.constructor.name !== 'TCP') return false;
  if (typeof handle.useUserBuffer !== 'function' || typeof handle.onread !== 'function') {
    return false;
  }
  const { streamBaseState, kReadBytesOrError } = lastRead;
  const { onread } = handle;
  handle.useUserBuffer(shared);
  handle.onread = function () {
    const bytes = streamBaseState[kReadBytesOrError] as number;
    if (bytes < 0) return onread.call(this);
    if (bytes === 0 || socket.destroyed) return undefined;
    const isFirst = socket.readableFlowing === true && socket.readableLength === 0;
    const used = isFirst ? reader.read(sharedView, bytes) : 0;
    if (used === bytes || socket.destroyed) return undefined;
    if (socket.push(Buffer.from(shared.subarray(used, bytes)))) return undefined;
    // As Node does it: the stream is full and resumes reading once it was read from.
    this.reading = false;
    this.readStop();
    return undefined;
  };
  return true;
}

function find(): LastRead | null {
  try {
    const { binding } = process as unknown as { binding(name: string): LastRead };
    const found = binding.call(process, 'stream_wrap');
    const { streamBaseState, kReadBytesOrError } = found;
    if (!(streamBaseState instanceof Int32Array)) return null;
    return typeof streamBaseState[kReadBytesOrError] === 'number' ? found : null;
  } catch {
    return null;
  }
}
