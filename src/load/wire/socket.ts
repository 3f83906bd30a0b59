/**
 * A raw TCP (or TLS) connection that reads into one buffer shared by all of a process, so that a
 * worker can take in a gigabyte a second, and that can stop and start reading at any byte.
 * Not here: framing (websocket.ts).
 */
import { connect, isIP, type Socket } from 'node:net';
import { checkServerIdentity, connect as connectTls, type PeerCertificate } from 'node:tls';
import { machineMicros } from '../clock.js';
import type { Endpoint } from './wire.js';

export interface SocketEvents {
  connected(): void;
  /** `buf[0, length)` arrived at `now`; valid during the call only. */
  bytes(buf: Buffer, length: number, now: number): void;
  closed(reason: string): void;
}

const EMPTY = Buffer.alloc(0);
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

export class RawSocket {
  readonly #socket: Socket;
  #reason = 'end';

  constructor(endpoint: Endpoint, events: SocketEvents) {
    this.#socket = endpoint.tls ? openTls(endpoint, events) : openTcp(endpoint, events);
    this.#socket
      .setNoDelay(true)
      .on('error', (error: NodeJS.ErrnoException) => {
        this.#reason = error.code ?? error.message;
      })
      .on('close', () => events.closed(this.#reason));
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

function openTcp(endpoint: Endpoint, events: SocketEvents): Socket {
  const buffer = readBuffer(endpoint.readSize);
  return connect({
    host: (endpoint.via ?? endpoint).host,
    port: (endpoint.via ?? endpoint).port,
    onread: {
      buffer,
      callback: (length) => {
        events.bytes(buffer, length, machineMicros());
        return true;
      },
    },
  }).once('connect', () => events.connected());
}

/** TLS decrypts into buffers of its own; only its certificate checks are Node's defaults. */
function openTls(endpoint: Endpoint, events: SocketEvents): Socket {
  const { host, port } = endpoint.via ?? endpoint;
  return connectTls({ host, port, ...expecting(endpoint.host) })
    .on('data', (chunk: Buffer) => events.bytes(chunk, chunk.length, machineMicros()))
    .once('secureConnect', () => events.connected());
}

/**
 * Whose certificate has to be shown, whatever is dialled. A server is not told an address as a name
 * (RFC 6066, 3); newer Nodes throw there.
 */
export const expecting = (host: string) => ({
  servername: isIP(host) === 0 ? host : '',
  checkServerIdentity: (_name: string, shown: PeerCertificate) => checkServerIdentity(host, shown),
});
