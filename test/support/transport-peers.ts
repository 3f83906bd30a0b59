/** The two kinds of peers for a transport: a regular client, and one that does not read. */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { WebSocket } from 'ws';
import type { TransportName } from '../../src/transport/transport.js';
import { Signal } from './signal.js';
import { openSockJs } from './sockjs-client.js';

/** A client of `ws` or `sockjs-client`, open. */
export interface Peer {
  readonly texts: readonly string[];
  send(text: string): void;
  close(): void;
  /** Resolves once `count` texts have arrived. */
  received(count: number): Promise<void>;
  /** Resolves with the code of the close. */
  readonly closed: Promise<number>;
}

/** Common interface of both clients. */
interface Client {
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number }) => void) | null;
  onerror: (() => void) | null;
  send(text: string): void;
  close(): void;
}

export async function connectPeer(name: TransportName, port: number): Promise<Peer> {
  const client = (name === 'websocket'
    ? new WebSocket(`ws://127.0.0.1:${port}/ws`)
    : openSockJs(
        `http://127.0.0.1:${port}/sockjs`,
        name === 'sockjs-websocket' ? 'websocket' : name,
      )) as unknown as Client;
  const texts: string[] = [];
  const changed = new Signal();
  client.onmessage = ({ data }) => {
    texts.push(data as string);
    changed.fire();
  };
  client.onerror = () => {};
  const closed = new Promise<number>((resolve) => {
    client.onclose = ({ code }) => resolve(code);
  });
  await Promise.race([
    new Promise<void>((resolve) => {
      client.onopen = () => resolve();
    }),
    closed.then((code) => {
      throw new Error(`${name} was closed with ${code} before it was open`);
    }),
  ]);
  return {
    texts,
    closed,
    send: (text) => client.send(text),
    close: () => client.close(),
    received: (count) => changed.until(() => texts.length >= count),
  };
}

/** A bare connection with an open session that reads only when told to. */
export interface RawPeer {
  readonly socket: Socket;
  /** Reads again; resolves once the server has sent `bytes` more than the opening. */
  read(bytes: number): Promise<void>;
  /** Data read since the session opened. */
  readonly text: string;
  /** Its local port. */
  readonly port: number;
}

export async function connectRaw(name: TransportName, port: number): Promise<RawPeer> {
  const session = `/sockjs/000/${randomBytes(6).toString('hex')}`;
  const head = (line: string, more = '') =>
    `${line} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n${more}\r\n`;
  const upgrade = (path: string) =>
    head(
      `GET ${path}`,
      `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n`,
    );
  // The request that opens the session, and the end of its answer. A poll is answered before the next
  // is open.
  const [request, opening] = {
    websocket: [upgrade('/ws'), '\r\n\r\n'],
    'sockjs-websocket': [upgrade(`${session}/websocket`), '\x81\x01o'],
    'xhr-streaming': [head(`POST ${session}/xhr_streaming`), 'o\n\r\n'],
    eventsource: [head(`GET ${session}/eventsource`), 'data: o\r\n\r\n\r\n'],
    'xhr-polling': [head(`POST ${session}/xhr`), 'o\n\r\n0\r\n\r\n'],
  }[name] as [string, string];
  const socket = connect(port, '127.0.0.1').setEncoding('latin1');
  const changed = new Signal();
  let text = '';
  socket.on('data', (chunk: string) => {
    text += chunk;
    changed.fire();
  });
  // The server may reset it at any time.
  socket.on('error', () => {});
  socket.write(request);
  await changed.until(() => text.includes(opening));
  text = text.slice(text.indexOf(opening) + opening.length);
  socket.pause();
  if (name === 'xhr-polling') socket.write(request);
  return {
    socket,
    get text() {
      return text;
    },
    async read(bytes) {
      socket.resume();
      await changed.until(() => text.length >= bytes);
    },
    port: socket.localPort as number,
  };
}
