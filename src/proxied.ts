/**
 * Connections that come through a proxy which says from whom they are, before anything else, by the
 * PROXY protocol: from then on a socket has that peer's address and port, for limits, log and events
 * alike. Only trusted proxies are believed, and they have to say it; a connection of anybody else is
 * taken as it is, so that nobody can make up an address.
 *
 * V3: of a header no more is kept than it may have; it has the time that a first request has.
 *
 * Not here: what a header is (`transport/proxy-header.ts`), how sockets are counted (`sockets.ts`).
 */
import type { Server } from 'node:http';
import type { BlockList, Socket } from 'node:net';
import { survived } from './survived.js';
import { clearTimeout, setTimeout } from './time.js';
import { directAddressOf, isTrusted } from './transport/address.js';
import { MAX_HEADER_BYTES, type ProxiedPeer, proxyHeaderOf } from './transport/proxy-header.js';
import { underTls } from './transport/under-tls.js';

export interface ProxiedOptions {
  /** Who has to begin with a header; so has everybody on a unix socket. */
  readonly trusted: BlockList;
  /** For the header, in milliseconds. */
  readonly timeoutMs: number;
  /** Told of each connection whose header is awaited: it is open, and nobody else knows of it yet. */
  awaited(socket: Socket): void;
  /** Ends a connection without one. */
  refuse(socket: Socket): void;
}

/** To be called when everybody listens to `http` who counts or answers its connections. */
export function readProxyHeaders(http: Server, options: ProxiedOptions): void {
  const listeners = http.listeners('connection') as ((this: Server, socket: Socket) => void)[];
  const accept = (socket: Socket) => {
    for (const listener of listeners) listener.call(http, socket);
  };
  /** From whom sockets are, for those of TLS that come to lie on them. */
  const peers = new WeakMap<Socket, ProxiedPeer>();
  const proxied = (socket: Socket, peer: ProxiedPeer) => {
    peers.set(socket, peer);
    become(socket, peer);
    accept(socket);
  };
  http.removeAllListeners('connection');
  http.on('connection', (socket: Socket) => {
    const address = directAddressOf(socket);
    if (address !== '' && !isTrusted(address, options.trusted)) accept(socket);
    else readHeader(socket, options, (peer) => proxied(socket, peer));
  });
  http.prependListener('secureConnection', (socket: Socket) => {
    const accepted = underTls(socket);
    become(socket, (accepted && peers.get(accepted)) ?? null);
  });
}

function become(socket: Socket, peer: ProxiedPeer): void {
  if (peer === null) return;
  Object.defineProperty(socket, 'remoteAddress', { value: peer.address });
  Object.defineProperty(socket, 'remotePort', { value: peer.port });
}

function readHeader(
  socket: Socket,
  { timeoutMs, awaited, refuse }: ProxiedOptions,
  found: (peer: ProxiedPeer) => void,
): void {
  awaited(socket);
  let bytes = Buffer.alloc(0);
  const timer = setTimeout(() => refuse(socket), timeoutMs);
  const ended = () => clearTimeout(timer);
  const done = () => {
    ended();
    socket.off('close', ended);
    socket.off('readable', read);
    socket.off('error', ignore);
  };
  const read = survived(() => {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) return;
    bytes = Buffer.concat([bytes, chunk]);
    const header = proxyHeaderOf(bytes);
    if (header === 'more' && bytes.length < MAX_HEADER_BYTES) return;
    done();
    if (typeof header === 'string') {
      refuse(socket);
      return;
    }
    if (bytes.length > header.length) socket.unshift(bytes.subarray(header.length));
    found(header.peer);
  });
  socket.once('close', ended);
  socket.on('error', ignore);
  socket.on('readable', read);
}

/** 'close' follows. */
const ignore = () => {};
