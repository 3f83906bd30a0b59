/**
 * Reading from a socket past its stream, as `raw-write.ts` writes. For each read Node makes a buffer of
 * 64 KiB, cuts it to what has come, and takes it through a stream and two emitters. Here all sockets
 * read into one buffer, which is offered first to whoever can use what is in it at once; only what is
 * left over is copied and goes the usual way.
 *
 * The handle is no documented part of Node, nor is the place where it tells how much it has read. They
 * are looked at first, and where they are not what is known here, the stream does all the reading.
 *
 * Not here: what is read (`client-frame.ts`), whose turn it is (`intake.ts`).
 */
import type { Socket } from 'node:net';

const READ_BYTES = 64 * 1024;

/** What all sockets read into; valid until the next of them reads. */
const shared = Buffer.allocUnsafeSlow(READ_BYTES);
const sharedView = new DataView(shared.buffer);

/** Who can use what is read at once. */
export interface Reader {
  /** Offered the bytes at the beginning of `view`; returns how many of them it has used up. */
  read(view: DataView, bytes: number): number;
}

interface Handle {
  reading: boolean;
  /** Called for each read, also one of nothing, for the end and for an error. */
  onread: (this: Handle, bytes?: ArrayBuffer) => unknown;
  readStop(): number;
  useUserBuffer(buffer: Buffer): void;
}

type SocketWithHandle = Socket & { readonly _handle?: Handle | null };

/** Where Node says what the last read has brought: bytes, or less than 0 for an end. */
interface LastRead {
  readonly streamBaseState: Int32Array;
  readonly kReadBytesOrError: number;
}

let lastRead: LastRead | null | undefined;

/**
 * From now on `reader` is offered what this socket reads, while nothing that was read before waits in
 * its stream. Says whether that is possible. Once a socket, which is being read by nobody else.
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
    // As Node does it: the stream has enough, and reads on when it has been read from.
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
