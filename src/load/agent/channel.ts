/**
 * The connection between a coordinator and an agent: one JSON message per line, over TLS with a shared
 * key (RFC 4279). The handshake proves to both ends that the other one has the secret, without
 * sending it, and compares in constant time; everything after it is encrypted. The bytes that a peer can
 * make us buffer are bounded (V3). Not here: the meaning of the messages (agent.ts, agents.ts).
 */
import { scryptSync } from 'node:crypto';
import type { Socket } from 'node:net';
import { connect, createServer, type Server, type TLSSocket } from 'node:tls';
import type { Address } from '../wire/wire.js';

const IDENTITY = 'roomcast-load';
/** Ephemeral keys: a secret that leaks later does not decrypt recorded connections. */
const TLS = {
  ciphers: 'ECDHE-PSK-CHACHA20-POLY1305',
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
} as const;
const HANDSHAKE_TIMEOUT_MS = 5000;
/** Longest line. A plan, or the histograms of a second, are far smaller. */
const LINE_MAX = 64 * 1024 * 1024;
const NEWLINE = 0x0a;
/** Includes connections that have not completed the handshake. */
const CONNECTIONS_MAX = 16;

/** Derives the key of both ends, slowly, so that the secret is hard to guess from a recorded handshake. */
export function keyOf(secret: string): Buffer {
  return scryptSync(secret, IDENTITY, 32);
}

export function listenTls(key: Buffer, onChannel: (channel: Channel) => void): Server {
  const server = createServer({
    ...TLS,
    pskCallback: (_, identity) => (identity === IDENTITY ? key : null),
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
  });
  server.maxConnections = CONNECTIONS_MAX;
  return server
    .on('secureConnection', (socket) => onChannel(new Channel(socket)))
    .on('tlsClientError', (_, socket) => socket.destroy());
}

/** @throws Error whose message explains why there is no channel */
export function connectTls({ host, port }: Address, key: Buffer): Promise<Channel> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      ...TLS,
      host,
      port,
      pskCallback: () => ({ psk: key, identity: IDENTITY }),
      // There are no certificates: the key is what both ends prove.
      checkServerIdentity: () => undefined,
    });
    const timer = setTimeout(() => {
      socket.destroy(new Error(`no answer within ${HANDSHAKE_TIMEOUT_MS / 1000} s`));
    }, HANDSHAKE_TIMEOUT_MS);
    socket
      .once('secureConnect', () => {
        clearTimeout(timer);
        resolve(new Channel(socket));
      })
      .once('error', (error: NodeJS.ErrnoException) => {
        clearTimeout(timer);
        reject(new Error(whyNot(error)));
      })
      .once('close', () => {
        clearTimeout(timer);
        reject(new Error('it closed the connection'));
      });
  });
}

function whyNot({ code = '', message }: NodeJS.ErrnoException): string {
  if (/DECRYPT|BAD_RECORD_MAC/.test(code)) return 'it has a different secret';
  if (/SSL|TLS|EPROTO/.test(code)) return 'no agent of roomcast load answers there';
  return code || message;
}

/** One end. `onMessage` may be set again; `onClosed` is called once. */
export class Channel {
  onMessage: (message: unknown) => void = () => {};
  onClosed: (reason: string) => void = () => {};
  readonly #socket: TLSSocket;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #reason = 'the connection ended';
  #closed = false;

  constructor(socket: TLSSocket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket
      .on('data', (bytes: Buffer) => this.#read(bytes))
      .on('error', (error: NodeJS.ErrnoException) => {
        this.#reason = error.code ?? error.message;
      })
      .on('end', () => socket.end())
      .on('close', () => {
        this.#closed = true;
        this.onClosed(this.#reason);
      });
  }

  get closed(): boolean {
    return this.#closed;
  }

  send(message: object): void {
    if (this.#socket.writable) this.#socket.write(`${JSON.stringify(message)}\n`);
  }

  /** @param reason passed to `onClosed` */
  close(reason = 'closed'): void {
    this.#reason = reason;
    this.#socket.end();
    // The peer has this long to end its side.
    const socket: Socket = this.#socket;
    setTimeout(() => socket.destroy(), 1000).unref();
  }

  #read(bytes: Buffer): void {
    let at = 0;
    for (;;) {
      const newline = bytes.indexOf(NEWLINE, at);
      if (newline < 0) break;
      const line = Buffer.concat([...this.#held, bytes.subarray(at, newline)]).toString();
      this.#held = [];
      this.#heldBytes = 0;
      at = newline + 1;
      if (!this.#parse(line)) return;
    }
    const rest = bytes.subarray(at);
    if (rest.length === 0) return;
    this.#held.push(rest);
    this.#heldBytes += rest.length;
    if (this.#heldBytes > LINE_MAX) this.#refuse('it sent a line longer than 64 MiB');
  }

  #parse(line: string): boolean {
    let message: unknown;
    try {
      message = JSON.parse(line);
    } catch {
      this.#refuse('it sent a line that is not JSON');
      return false;
    }
    this.onMessage(message);
    return true;
  }

  #refuse(reason: string): void {
    this.#reason = reason;
    this.#socket.destroy();
  }
}
