/**
 * Connections through a proxy that sends the client's address first, by the PROXY protocol. From then on
 * the socket has that client's address and port, for limits, log and events alike. Only trusted
 * proxies may send the header, and they must send it. Any other connection is accepted without one, so
 * that a client cannot forge an address.
 *
 * V3: a header is buffered up to `MAX_HEADER_BYTES` and has as long to arrive as a first request. V13: what
 * arrived while the server was blocked arrived in time.
 *
 * Not here: parsing of the header (`transport/proxy-header.ts`), counting of sockets (`sockets.ts`).
 */
import type { Server } from 'node:http';
import type { BlockList, Socket } from 'node:net';
import { survived } from './survived.js';
import { clearTimeout, setImmediate, setTimeout } from './time.js';
import { directAddressOf, isTrusted } from './transport/address.js';
import { MAX_HEADER_BYTES, type ProxiedPeer, proxyHeaderOf } from './transport/proxy-header.js';
import { underTls } from './transport/under-tls.js';

export interface ProxiedOptions {
  /** Peers that must send a header. Every peer on a unix socket must send one too. */
  readonly trusted: BlockList;
  /** Milliseconds until the header must have arrived. */
  readonly timeoutMs: number;
  /** Called for each connection whose header is awaited: it is open, and nothing else tracks it yet. */
  awaited(socket: Socket): void;
  /** Closes a connection without a valid header. */
  refuse(socket: Socket): void;
}

/** Call it after every other `connection` listener of `http` is registered. */
export function readProxyHeaders(http: Server, options: ProxiedOptions): void {
  const listeners = http.listeners('connection') as ((this: Server, socket: Socket) => void)[];
  const accept = (socket: Socket) => {
    for (const listener of listeners) listener.call(http, socket);
  };
  /** Client of each accepted socket; the TLS socket on top of it gets the same address. */
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
  // Timers run before sockets are read: a header that came while the server was blocked is read first.
  let isLate = false;
  const late = () => isLate && refuse(socket);
  const timer = setTimeout(() => {
    isLate = true;
    setImmediate(late);
  }, timeoutMs);
  const ended = () => {
    isLate = false;
    clearTimeout(timer);
  };
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

/** Every error is followed by 'close'. */
const ignore = () => {};
