/**
 * The composition root: builds the parts, listens, and takes them down in reverse order.
 *
 * V7: `close` is one shared promise with a deadline, holds no lock, and returns what it had to
 * abandon. V8: every timer and listener made here ends with it.
 */
import { createServer, type Server as HttpServer, type IncomingMessage } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import type { Broker } from './broker/broker.js';
import { MemoryBroker } from './broker/memory.js';
import { type Config, trustedProxies } from './config.js';
import type { CloseReason } from './errors.js';
import { Recorder } from './metrics/recorder.js';
import type { Codec } from './protocol/codec.js';
import { JsonCodec } from './protocol/json.js';
import { Hub } from './room/hub.js';
import type { Member } from './room/member.js';
import type { Observer } from './room/observer.js';
import { closingEvent, Session, type SessionContext } from './session.js';
import { addressOf } from './transport/address.js';
import type { Accept, Transport, TransportSink } from './transport/transport.js';
import { type Dialect, plainDialect, WebSocketAcceptor } from './transport/websocket.js';

/** What a shutdown came to. */
export interface CloseReport {
  /** Members that had everything before they were closed. */
  readonly drained: number;
  /** Members that were reset at the deadline, with the messages they had not had. */
  readonly abandoned: readonly { readonly member: string; readonly messages: number }[];
  /** Names of what the server still waited for at the deadline: calls of the broker. */
  readonly waiting: readonly string[];
}

export interface Server {
  /** Where it listens, such as `http://127.0.0.1:8080`. */
  readonly url: string;
  /** Shuts down within `shutdownGraceMs`; every call returns the same promise, which never rejects. */
  close(): Promise<CloseReport>;
}

/** How often a shutdown looks which members have drained, in milliseconds. */
const DRAIN_CHECK_MS = 10;
/** Connections that may be open beside those of members: the HTTP API, refused ones being told why. */
const SPARE_CONNECTIONS = 256;

/**
 * Builds a server and resolves once it listens.
 *
 * @throws Error of `listen`, such as `EADDRINUSE`; nothing is left open then
 */
export async function startServer(config: Config, log: Logger): Promise<Server> {
  const observer = new Recorder();
  const codec = new JsonCodec({
    maxCommandBytes: config.maxCommandBytes,
    maxRoomNameLength: config.maxRoomNameLength,
    roomNamePattern: new RegExp(config.roomNamePattern),
    maxJsonDepth: config.maxJsonDepth,
  });
  const broker: Broker = new MemoryBroker();
  const sessions = new Map<Member, Session>();
  const evict = (member: Member, reason: CloseReason) => sessions.get(member)?.close(reason);
  const hub = new Hub(config, broker, codec, observer, evict);
  const perAddress = new Map<string, number>();
  const proxies = trustedProxies(config);
  let closing: Promise<CloseReport> | null = null;

  const context: SessionContext = {
    config,
    hub,
    codec,
    observer,
    failed: (session, error) => log.error({ err: error, member: session.member.id }, 'internal'),
    ended(session) {
      sessions.delete(session.member);
      count(perAddress, session.transport.remoteAddress, -1);
    },
  };

  const accept: Accept = (transport) => {
    const full =
      (config.maxConnections > 0 && sessions.size >= config.maxConnections) ||
      (config.maxConnectionsPerAddress > 0 &&
        (perAddress.get(transport.remoteAddress) ?? 0) >= config.maxConnectionsPerAddress);
    if (full) return turnAway(transport, codec, observer);
    const session = new Session(transport, context);
    sessions.set(session.member, session);
    count(perAddress, transport.remoteAddress, 1);
    return session;
  };

  const webSockets = new WebSocketAcceptor(config);
  const http = createServer((_request, response) => response.writeHead(404).end());
  if (config.maxConnections > 0) http.maxConnections = config.maxConnections + SPARE_CONNECTIONS;
  const sockets = new Set<Socket>();
  const forget = function (this: Socket) {
    sockets.delete(this);
  };
  http.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', forget);
  });
  http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const dialect = dialectOf(request.url ?? '');
    if (closing !== null) refuseUpgrade(socket, '503 Service Unavailable');
    else if (dialect === null) refuseUpgrade(socket, '404 Not Found');
    else if (!isAllowedOrigin(request, config)) refuseUpgrade(socket, '403 Forbidden');
    else webSockets.upgrade(request, socket, head, dialect, addressOf(request, proxies), accept);
  });

  await listen(http, config);
  const { port } = http.address() as AddressInfo;
  const host = config.host.includes(':') ? `[${config.host}]` : config.host;

  async function shutDown(): Promise<CloseReport> {
    const started = performance.now();
    const deadline = started + config.shutdownGraceMs;
    const stopped = new Promise<void>((resolve) => http.close(() => resolve()));
    webSockets.close();
    const hubClosed = hub.close(config.shutdownGraceMs);
    const drained = await drain(Array.from(sessions.values()), config, started, deadline);
    const abandoned: { member: string; messages: number }[] = [];
    for (const session of sessions.values()) {
      const { id, queuedMessages } = session.member;
      if (!session.hasClosed) abandoned.push({ member: id, messages: queuedMessages });
      session.reset();
    }
    // Connections of the HTTP API, and whatever else has connected and is no member.
    for (const socket of sockets) socket.resetAndDestroy();
    const [waiting] = await Promise.all([hubClosed, stopped]);
    return { drained, abandoned, waiting };
  }

  return {
    url: `http://${host}:${port}`,
    close() {
      closing ??= shutDown();
      return closing;
    },
  };
}

/**
 * Tells every member to come back later, spread over `drainMs` so that they do not all come at
 * once, and closes each when it has had everything, until all are gone or `deadline` has passed.
 * Returns how many were closed drained.
 */
function drain(
  sessions: readonly Session[],
  config: Config,
  started: number,
  deadline: number,
): Promise<number> {
  const left = new Set(sessions);
  let told = 0;
  let drained = 0;
  return new Promise((resolve) => {
    const look = () => {
      const now = performance.now();
      const share = config.drainMs === 0 ? 1 : (now - started) / config.drainMs;
      for (const due = Math.min(1, share) * sessions.length; told < due; told += 1) {
        const retryAfterMs = 1000 + Math.floor(Math.random() * Math.max(1000, config.drainMs * 2));
        (sessions[told] as Session).announceClose(retryAfterMs);
      }
      for (const session of left) {
        if (session.hasEnded) left.delete(session);
        else if (session.isAnnounced && session.member.isDrained) {
          session.closeDrained();
          drained += 1;
        }
      }
      if (left.size > 0 && now < deadline) return;
      clearInterval(timer);
      resolve(drained);
    };
    const timer = setInterval(look, DRAIN_CHECK_MS);
    look();
  });
}

/** A session that is over before it began: the peer is told that there is no room, and not heard. */
function turnAway(transport: Transport, codec: Codec, observer: Observer): TransportSink {
  const { index, encoding } = transport.framing;
  observer.opened(index);
  const farewell = encoding.encode(codec.encode(closingEvent('over_capacity')));
  // The transport is not ready to be closed before it has its sink.
  queueMicrotask(() => {
    transport.close('over_capacity', transport.framing.join([farewell], farewell.length), 1000);
  });
  return {
    received() {},
    receivedBinary() {},
    faulted() {},
    completed() {},
    ready() {},
    roundTrip() {},
    ended: (reason) => observer.closed(index, reason),
  };
}

/** How the connection at this path speaks, or null where there is none. */
function dialectOf(url: string): Dialect | null {
  const path = url.split('?', 1)[0];
  return path === '/ws' ? plainDialect : null;
}

/** Browsers send an Origin, other clients need not. */
function isAllowedOrigin(request: IncomingMessage, { origin }: Config): boolean {
  const given = request.headers.origin;
  return given === undefined || origin.length === 0 || origin.includes(given);
}

function refuseUpgrade(socket: Duplex, status: string): void {
  socket.on('error', () => {});
  const answer = `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`;
  // A peer that does not close its side must not keep ours.
  socket.end(answer, () => socket.destroy());
}

function listen(http: HttpServer, { host, port }: Config): Promise<void> {
  return new Promise((resolve, reject) => {
    http.once('error', reject);
    http.listen(port, host, () => {
      http.off('error', reject);
      resolve();
    });
  });
}

function count(counts: Map<string, number>, key: string, by: 1 | -1): void {
  const now = (counts.get(key) ?? 0) + by;
  if (now === 0) counts.delete(key);
  else counts.set(key, now);
}
