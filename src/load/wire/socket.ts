/**
 * A raw TCP (or TLS) connection that reads into one buffer shared by all of a process, so that a
 * worker can take in a gigabyte a second, and that can stop and start reading at any byte.
 * Not here: framing (websocket.ts).
 */
import { connect, isIP, type Socket } from 'node:net';
import { checkServerIdentity, connect as connectTls, type PeerCertificate } from 'node:tls';
import { machineMicros } from '../clock.js';
import { arrived, type Hearer, hearAll } from './arrivals.js';
import type { Endpoint } from './wire.js';

export interface SocketEvents {
  connected(): void;
  /** `buf[start, end)` was read at `now`; valid during the call only. */
  bytes(buf: Buffer, start: number, end: number, now: number): void;
  closed(reason: string): void;
}

const EMPTY = Buffer.alloc(0);
/** Who reads less at a time is heard at once: it is told to stop at a byte. */
const READS_ON = 16 * 1024;
const sharedBuffers = new Map<number, Buffer>();

/**
 * libuv on Unix asks for a buffer, reads and calls back in one go, so all sockets may share one.
 * Windows hands buffers to the kernel ahead of time and needs one a socket.
 */
function readBuffer(size: number): Buffer {
  if (process.platform === 'win32') return Buffer.allocUnsafeSlow(size);
  let buffer = sharedBuffers.get(size);
  if (!buffer) {
    buffer = Buffer.allocUnsafeSlow(size);
    sharedBuffers.set(size, buffer);
  }
  return buffer;
}

export class RawSocket implements Hearer {
  readonly #socket: Socket;
  readonly #events: SocketEvents;
  #reason = 'end';
  #isReset = false;

  constructor(endpoint: Endpoint, events: SocketEvents) {
    this.#events = events;
    this.#socket = (endpoint.tls ? openTls : openTcp)(endpoint, events, this);
    this.#socket
      .setNoDelay(true)
      .on('error', (error: NodeJS.ErrnoException) => {
        this.#reason = error.code ?? error.message;
      })
      .on('close', () => {
        hearAll();
        events.closed(this.#reason);
      });
  }

  heard(buf: Buffer, start: number, end: number, now: number): void {
    if (!this.#isReset) this.#events.bytes(buf, start, end, now);
  }

  get backlog(): number {
    return this.#socket.writableLength;
  }

  write(bytes: Uint8Array): void {
    if (this.#socket.writable) this.#socket.write(bytes);
  }

  /** An empty write reaches the kernel and fails if the peer has reset; nothing goes out. */
  probe(): void {
    this.write(EMPTY);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#socket.end();
    this.#socket.resume();
  }

  reset(): void {
    this.#isReset = true;
    resetSocket(this.#socket);
  }
}

/**
 * Ends a socket with a TCP reset. TLS cannot reset; it closes abruptly. What is still connecting has
 * nothing to reset, and Node would wait for the connection first, which may never come.
 */
export function resetSocket(socket: Socket): void {
  if (socket.destroyed) return;
  if (socket.connecting || 'encrypted' in socket) socket.destroy();
  else socket.resetAndDestroy();
}

function openTcp(endpoint: Endpoint, events: SocketEvents, hearer: Hearer): Socket {
  const { readSize } = endpoint;
  const buffer = readBuffer(readSize);
  return connect({
    host: (endpoint.via ?? endpoint).host,
    port: (endpoint.via ?? endpoint).port,
    onread: {
      buffer,
      callback: (length) => {
        read(endpoint, hearer, buffer, length);
        return true;
      },
    },
  }).once('connect', () => events.connected());
}

/** TLS decrypts into buffers of its own; only its certificate checks are Node's defaults. */
function openTls(endpoint: Endpoint, events: SocketEvents, hearer: Hearer): Socket {
  const { host, port } = endpoint.via ?? endpoint;
  return connectTls({ host, port, ...expecting(endpoint.host) })
    .on('data', (chunk: Buffer) => read(endpoint, hearer, chunk, chunk.length))
    .once('secureConnect', () => events.connected());
}

/** `buf[0, length)` was read just now. */
function read({ readSize }: Endpoint, hearer: Hearer, buf: Buffer, length: number): void {
  const now = machineMicros();
  if (readSize < READS_ON) hearer.heard(buf, 0, length, now);
  else arrived(hearer, buf, length, now);
}

/**
 * Whose certificate has to be shown, whatever is dialled. A server is not told an address as a name
 * (RFC 6066, 3); newer Nodes throw there.
 */
export const expecting = (host: string) => ({
  servername: isIP(host) === 0 ? host : '',
  checkServerIdentity: (_name: string, shown: PeerCertificate) => checkServerIdentity(host, shown),
});
