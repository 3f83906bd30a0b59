/**
 * A raw TCP (or TLS) connection that can stop and start reading at any byte. All connections of a
 * process read into one shared buffer, so that a worker can receive a gigabyte a second.
 * Not here: framing (websocket.ts).
 */
import { connect, isIP, type Socket } from 'node:net';
import { checkServerIdentity, connect as connectTls, type PeerCertificate } from 'node:tls';
import { machineMicros } from '../clock.js';
import { arrived, deliverAll, type Receiver } from './arrivals.js';
import type { Endpoint } from './wire.js';

export interface SocketEvents {
  connected(): void;
  /** `buf[start, end)` was read at `now`; valid during the call only. */
  bytes(buf: Buffer, start: number, end: number, now: number): void;
  closed(reason: string): void;
}

const EMPTY = Buffer.alloc(0);
/** Sockets with smaller reads are decoded at once, since they are told to stop at a byte. */
const READS_ON = 16 * 1024;
const sharedBuffers = new Map<number, Buffer>();

/**
 * libuv on Unix asks for a buffer, reads and calls back in one go, so all sockets can share a buffer.
 * Windows passes buffers to the kernel ahead of time and needs one per socket.
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

export class RawSocket implements Receiver {
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
        deliverAll();
        events.closed(this.#reason);
      });
  }

  receive(buf: Buffer, start: number, end: number, now: number): void {
    if (!this.#isReset) this.#events.bytes(buf, start, end, now);
  }

  get backlog(): number {
    return this.#socket.writableLength;
  }

  write(bytes: Uint8Array): void {
    if (this.#socket.writable) this.#socket.write(bytes);
  }

  /** An empty write reaches the kernel and fails if the peer has reset; it sends nothing. */
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
 * Ends a socket with a TCP reset. TLS cannot reset: it closes abruptly. A connecting socket has nothing
 * to reset; Node would first wait for the connection, which may never be established.
 */
export function resetSocket(socket: Socket): void {
  if (socket.destroyed) return;
  if (socket.connecting || 'encrypted' in socket) socket.destroy();
  else socket.resetAndDestroy();
}

function openTcp(endpoint: Endpoint, events: SocketEvents, receiver: Receiver): Socket {
  const { readSize } = endpoint;
  const buffer = readBuffer(readSize);
  return connect({
    host: (endpoint.via ?? endpoint).host,
    port: (endpoint.via ?? endpoint).port,
    onread: {
      buffer,
      callback: (length) => {
        read(endpoint, receiver, buffer, length);
        return true;
      },
    },
  }).once('connect', () => events.connected());
}

/** TLS decrypts into buffers of its own. Certificates are checked as Node does, for `endpoint.host`. */
function openTls(endpoint: Endpoint, events: SocketEvents, receiver: Receiver): Socket {
  const { host, port } = endpoint.via ?? endpoint;
  return connectTls({ host, port, ...expecting(endpoint.host) })
    .on('data', (chunk: Buffer) => read(endpoint, receiver, chunk, chunk.length))
    .once('secureConnect', () => events.connected());
}

/** Passes on `buf[0, length)`, which was read just now. */
function read({ readSize }: Endpoint, receiver: Receiver, buf: Buffer, length: number): void {
  const now = machineMicros();
  if (readSize < READS_ON) receiver.receive(buf, 0, length, now);
  else arrived(receiver, buf, length, now);
}

/**
 * TLS options that check the certificate for `host`, whatever address is dialled. An IP address must not
 * be sent as server name (RFC 6066, 3); newer Node versions throw.
 */
export const expecting = (host: string) => ({
  servername: isIP(host) === 0 ? host : '',
  checkServerIdentity: (_name: string, shown: PeerCertificate) => checkServerIdentity(host, shown),
});
