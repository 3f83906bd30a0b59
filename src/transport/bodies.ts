/**
 * Request bodies while they are read. V3: a body that arrived with its head stays in Node's own buffers
 * until its turn, where `requests.ts` bounds those of each connection. Any other is in one buffer that
 * grows by doubling, so a body in pieces of a byte costs no more than one in a single piece. These share
 * a bound, of which one network may use at most as much as it leaves free for the others. V13: a body
 * without progress for `stallMs` ends with its connection; a slow one that progresses does not.
 *
 * Not here: whether a body is accepted, which is decided before; its meaning.
 */
import type { IncomingMessage } from 'node:http';
import { REFUSAL, Refusal } from '../errors.js';
import { setImmediate } from '../time.js';

/** Bound of all bodies in progress, in bytes. */
const TOTAL_BYTES = 64 * 1024 * 1024;
const FIRST_BYTES = 1024;
const NOTHING = Buffer.alloc(0);

/** Receives a body. A chunk is valid only during the call. */
export interface BodyReader {
  chunk(chunk: Buffer): void;
  /** The body is complete. */
  end(): void;
  /** The body stalled, took too long or is broken. No more follows; `refusal` is the response. */
  brokenOff(refusal: Refusal): void;
}

export interface BodiesOptions {
  /** Milliseconds without a byte after which the request is aborted. */
  readonly stallMs: number;
  /** The network a request is counted for. */
  readonly networkOf: (request: IncomingMessage) => string;
  /** Bound of all bodies in progress, in bytes; default 64 MiB. */
  readonly totalBytes?: number;
}

/** Receives the refusal of a body that is broken off. */
type BrokenOff = (refusal: Refusal) => void;

/** Key of that function while a body is read. A property costs a request less than a `WeakMap` entry. */
const BROKEN_OFF = Symbol('brokenOff');

interface Read extends IncomingMessage {
  [BROKEN_OFF]?: BrokenOff | undefined;
}

/** Aborts the body of a request with a refusal. Returns false if no reader reads it. */
export function breakOff(request: Read, refusal: Refusal): boolean {
  const brokenOff = request[BROKEN_OFF];
  if (brokenOff === undefined) return false;
  request[BROKEN_OFF] = undefined;
  brokenOff(refusal);
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

  /** Reads a body. */
  read(request: Read, reader: BodyReader): void {
    const { socket } = request;
    let isTimed = false;
    // A body that arrived with its head is parsed by then and needs no timer.
    process.nextTick(() => {
      if (request.complete || request.destroyed) return;
      isTimed = true;
      socket.setTimeout(this.#options.stallMs);
    });
    // The HTTP server emits the timeout at the request; without a listener it would destroy the
    // connection.
    request.on('timeout', () => breakOff(request, new Refusal('too_slow', REFUSAL.too_slow.text)));
    request[BROKEN_OFF] = (refusal) => reader.brokenOff(refusal);
    request.on('data', (chunk: Buffer) => reader.chunk(chunk));
    request.on('end', () => {
      request[BROKEN_OFF] = undefined;
      if (isTimed) socket.setTimeout(0);
      reader.end();
    });
    // The end of the connection is reported by `close` of the request and the socket.
    request.on('error', () => {});
  }

  /**
   * Reads a whole body. Calls `ready` with a function that takes it, to be called at most once, or
   * `failed` with `message_too_big`, `server_busy`, or why the body ended early.
   */
  whole(
    request: Read,
    maxBytes: number,
    tooBig: string,
    ready: (take: () => Buffer) => void,
    failed: BrokenOff,
  ): void {
    const refuse = () => failed(new Refusal('message_too_big', tooBig));
    if (Number(request.headers['content-length'] ?? 0) > maxBytes) {
      refuse();
      return;
    }
    // Someone before us reads it, too.
    if (request.readableFlowing === true) {
      this.#gatherWhole(request, maxBytes, refuse, ready, failed);
      return;
    }
    request[BROKEN_OFF] = failed;
    // By then Node has parsed what it has read. It runs ticks before it marks a body as complete.
    setImmediate(() => {
      if (request[BROKEN_OFF] !== failed) return;
      if (!request.complete && !request.destroyed) {
        this.#gatherWhole(request, maxBytes, refuse, ready, failed);
        return;
      }
      request[BROKEN_OFF] = undefined;
      if (!request.complete) failed(ended());
      else if (request.readableLength > maxBytes) refuse();
      else ready(() => (request.read() as Buffer | null) ?? NOTHING);
    });
  }

  #gatherWhole(
    request: IncomingMessage,
    maxBytes: number,
    refuse: () => void,
    ready: (take: () => Buffer) => void,
    failed: BrokenOff,
  ): void {
    const gathered = this.gather(request);
    let length = 0;
    let isSettled = false;
    // What still arrives is discarded.
    const fail = (tell: () => void) => {
      gathered.release();
      if (isSettled) return;
      isSettled = true;
      tell();
    };
    this.read(request, {
      chunk: (chunk) => {
        if (isSettled) return;
        length += chunk.length;
        if (length > maxBytes) return fail(refuse);
        try {
          gathered.add(chunk);
        } catch (error) {
          fail(() => failed(error as Refusal));
        }
      },
      end: () => {
        if (isSettled) return;
        isSettled = true;
        // Taken in its turn, which may come after `close`.
        const body = gathered.bytes;
        ready(() => body);
      },
      brokenOff: (refusal) => fail(() => failed(refusal)),
    });
    // Every request emits `close`, also after a whole body.
    request.on('close', () => fail(() => failed(ended())));
  }

  /** Creates the buffer for the body of a request. */
  gather(request: IncomingMessage): Gathered {
    return new Gathered(this, this.#options.networkOf(request));
  }

  /** Only for `Gathered`: reserves bytes; returns false if the bound does not allow it. */
  take(network: string, bytes: number): boolean {
    const own = this.#of.get(network) ?? 0;
    if (own + bytes > this.#free - bytes) return false;
    this.#free -= bytes;
    this.#of.set(network, own + bytes);
    return true;
  }

  /** Only for `Gathered`: returns reserved bytes. */
  give(network: string, bytes: number): void {
    if (bytes === 0) return;
    this.#free += bytes;
    const left = (this.#of.get(network) ?? 0) - bytes;
    if (left === 0) this.#of.delete(network);
    else this.#of.set(network, left);
  }
}

/** A growing buffer for one body. */
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

  /** Valid until the next `add`. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** @throws Refusal `server_busy` if the bound of all bodies is reached */
  add(chunk: Buffer): void {
    const length = this.#length + chunk.length;
    if (length > this.#buffer.length) {
      const size = Math.max(FIRST_BYTES, length, 2 * this.#buffer.length);
      if (!this.#bodies.take(this.#network, size - this.#buffer.length)) throw busy();
      // A small one from Node's pool: a buffer of its own costs more than to parse what is in it.
      const larger = size > FIRST_BYTES ? Buffer.allocUnsafeSlow(size) : Buffer.allocUnsafe(size);
      this.#buffer.copy(larger, 0, 0, this.#length);
      this.#buffer = larger;
    }
    chunk.copy(this.#buffer, this.#length);
    this.#length = length;
  }

  /** Empties it and keeps the buffer. */
  reset(): void {
    this.#length = 0;
  }

  /** Frees the buffer. */
  release(): void {
    this.#bodies.give(this.#network, this.#buffer.length);
    this.#buffer = NOTHING;
    this.#length = 0;
  }
}

const busy = () =>
  new Refusal(
    'server_busy',
    'The server is receiving too many request bodies; send it again later.',
  );

const ended = () =>
  new Refusal('bad_command', 'The connection ended before the whole body arrived.');
