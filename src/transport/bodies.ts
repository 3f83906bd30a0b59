/**
 * Bodies of requests while they are read. V3: each in one buffer that grows by doubling, so that in
 * pieces of a byte a body costs no more than in one; all of them within a bound, of which one peer
 * has at most as much as is left to the others. V13: a body that stands still for `stallMs` ends
 * with its connection, one that gets on does not.
 *
 * Not here: whether a body is wanted, which is asked before; what it means.
 */
import type { IncomingMessage } from 'node:http';
import { REFUSAL, Refusal } from '../errors.js';

/** Of all bodies under way, in bytes. */
const TOTAL_BYTES = 64 * 1024 * 1024;
const FIRST_BYTES = 1024;
const NOTHING = Buffer.alloc(0);

/** Who reads a body. A chunk is only good during the call. */
export interface BodyReader {
  chunk(chunk: Buffer): void;
  /** The body is whole. */
  end(): void;
  /** It stands still, takes too long or is broken: nothing more of it comes, and this is the answer. */
  brokenOff(refusal: Refusal): void;
}

export interface BodiesOptions {
  /** Milliseconds without a byte after which the peer is given up. */
  readonly stallMs: number;
  /** What is counted together. */
  readonly networkOf: (request: IncomingMessage) => string;
  /** Of all bodies under way, in bytes: 64 MiB. */
  readonly totalBytes?: number;
}

/** Of bodies under way, on any server of the process. */
const readers = new WeakMap<IncomingMessage, BodyReader>();

/** Tells whoever reads the body of this request that nothing more comes; false where nobody does. */
export function breakOff(request: IncomingMessage, refusal: Refusal): boolean {
  const reader = readers.get(request);
  if (reader === undefined) return false;
  readers.delete(request);
  reader.brokenOff(refusal);
  return true;
}

export class Bodies {
  readonly #options: BodiesOptions;
  readonly #of = new Map<string, number>();
  #free: number;

  constructor(options: BodiesOptions) {
    this.#options = options;
    this.#free = options.totalBytes ?? TOTAL_BYTES;
  }

  /** Reads a body that is wanted. */
  read(request: IncomingMessage, reader: BodyReader): void {
    const { socket } = request;
    // The HTTP server tells the request, and ends the connection where nobody listens for that.
    socket.setTimeout(this.#options.stallMs);
    request.once('timeout', () =>
      breakOff(request, new Refusal('too_slow', REFUSAL.too_slow.text)),
    );
    readers.set(request, reader);
    request.on('data', (chunk: Buffer) => reader.chunk(chunk));
    request.once('end', () => {
      readers.delete(request);
      socket.setTimeout(0);
      reader.end();
    });
    // That the connection has ended is told by the request's and the socket's `close`.
    request.on('error', () => {});
  }

  /** Reads a body whole. @throws Refusal `message_too_big` or `server_busy`, as a rejection. */
  whole(request: IncomingMessage, maxBytes: number, tooBig: string): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const refuse = () => reject(new Refusal('message_too_big', tooBig));
      if (Number(request.headers['content-length'] ?? 0) > maxBytes) return refuse();
      const gathered = this.gather(request);
      let length = 0;
      this.read(request, {
        chunk: (chunk) => {
          const isTooBig = length <= maxBytes && length + chunk.length > maxBytes;
          length += chunk.length;
          if (isTooBig) {
            gathered.release();
            refuse();
          } else if (length <= maxBytes) {
            try {
              gathered.add(chunk);
            } catch (error) {
              // What follows is not kept either.
              length = Number.POSITIVE_INFINITY;
              gathered.release();
              reject(error);
            }
          }
        },
        end: () => resolve(gathered.bytes),
        brokenOff: reject,
      });
      request.once('close', () => {
        gathered.release();
        reject(new Refusal('bad_command', 'The body broke off.'));
      });
    });
  }

  /** Room for what is kept of the body of this request. */
  gather(request: IncomingMessage): Gathered {
    return new Gathered(this, this.#options.networkOf(request));
  }

  /** Only for `Gathered`: whether there was room. */
  take(network: string, bytes: number): boolean {
    const own = this.#of.get(network) ?? 0;
    if (own + bytes > this.#free - bytes) return false;
    this.#free -= bytes;
    this.#of.set(network, own + bytes);
    return true;
  }

  /** Only for `Gathered`. */
  give(network: string, bytes: number): void {
    if (bytes === 0) return;
    this.#free += bytes;
    const left = (this.#of.get(network) ?? 0) - bytes;
    if (left === 0) this.#of.delete(network);
    else this.#of.set(network, left);
  }
}

/** Bytes that are kept until they are whole. */
export class Gathered {
  readonly #bodies: Bodies;
  readonly #network: string;
  #buffer = NOTHING;
  #length = 0;

  constructor(bodies: Bodies, network: string) {
    this.#bodies = bodies;
    this.#network = network;
  }

  get length(): number {
    return this.#length;
  }

  /** Good until the next `add`. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** @throws Refusal `server_busy` where all bodies together are as large as they may be. */
  add(chunk: Buffer): void {
    const length = this.#length + chunk.length;
    if (length > this.#buffer.length) {
      const size = Math.max(FIRST_BYTES, length, 2 * this.#buffer.length);
      if (!this.#bodies.take(this.#network, size - this.#buffer.length)) throw busy();
      const larger = Buffer.allocUnsafeSlow(size);
      this.#buffer.copy(larger, 0, 0, this.#length);
      this.#buffer = larger;
    }
    chunk.copy(this.#buffer, this.#length);
    this.#length = length;
  }

  /** Empties it and keeps the room. */
  reset(): void {
    this.#length = 0;
  }

  /** Gives all room back. */
  release(): void {
    this.#bodies.give(this.#network, this.#buffer.length);
    this.#buffer = NOTHING;
    this.#length = 0;
  }
}

const busy = () =>
  new Refusal('server_busy', 'More bodies are under way than may be; send it again in a while.');
