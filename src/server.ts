/**
 * The composition root: builds the parts, listens, and takes them down in reverse order.
 *
 * V7: `close` may be called at any moment and any number of times; it is one shared promise with a
 * deadline, holds no lock, and returns what it had to abandon. V8: every socket, timer and
 * listener made here ends with it.
 */
import {
  createServer as createHttpServer,
  type Server as HttpServer,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Broker, Position } from './broker/broker.js';
import { MemoryBroker } from './broker/memory.js';
import { CloseLog } from './close-log.js';
import { placesFor } from './descriptors.js';
import { Entrance, SOCKJS } from './entrance.js';
import { type CloseReason, type RefusalCode, shuttingDown } from './errors.js';
import { buildHttp } from './http/app.js';
import { Sampler } from './http/sampler.js';
import { Detector, type LockSnapshot } from './lock/index.js';
import { atLevel, type Log, silent } from './log.js';
import { LoopClock } from './loop-clock.js';
import { Recorder } from './metrics/recorder.js';
import { createMetrics } from './metrics/registry.js';
import { type Config, checkConfig, commandLimits, trustedProxies } from './options/config.js';
import { warningsOf } from './options/together.js';
import { checkPublish, jsonValueOf } from './protocol/fields.js';
import { JsonCodec } from './protocol/json.js';
import { BoundedRequest, Requests } from './requests.js';
import { Hub } from './room/hub.js';
import type { Member } from './room/member.js';
import { type Drained, Sessions } from './session/sessions.js';
import { Sockets } from './sockets.js';
import { nowMs, setTimeout } from './time.js';
import { addressOf, networkOf } from './transport/address.js';
import { Bodies } from './transport/bodies.js';
import { IntakeMemory } from './transport/intake.js';
import { KernelQueues } from './transport/kernel-queue.js';
import { resetSocket } from './transport/reset-socket.js';
import { SockjsServer } from './transport/sockjs.js';
import { MAX_ESCAPE } from './transport/sockjs-body.js';
import { sockjsDialect } from './transport/sockjs-websocket.js';
import type { Accept } from './transport/transport.js';
import { plainDialect, WebSocketAcceptor } from './transport/websocket.js';
import { Turns } from './turns.js';
import { version } from './version.js';

/** What a shutdown came to. */
export interface CloseReport extends Drained {
  /** Names of what the server still waited for at the deadline, such as calls of the broker. */
  readonly waiting: readonly string[];
}

export interface Server {
  /**
   * Resolves once it listens, with where: `http://127.0.0.1:8080`. To be called once.
   *
   * @throws Error of the socket as a rejection, such as `EADDRINUSE`; Refusal `shutting_down` when
   *   `close` came first. Nothing is left open then.
   */
  listen(): Promise<string>;
  /** Who is connected. */
  members(): Iterable<Member>;
  /** What of this server's locks is held and waited for now; `lockDetector` says who watches them. */
  locks(): LockSnapshot;
  /**
   * Publishes a value as `JSON.stringify` writes it, with the checks of the HTTP API.
   *
   * @throws Refusal as a rejection: `bad_room`, `bad_command`, `too_deep`, `message_too_big`,
   *   `room_busy`, `broker_unavailable`, `broker_uncertain`, `shutting_down`
   */
  publish(room: string, data: unknown, key?: string): Promise<Position>;
  /**
   * Shuts down within `shutdownGraceMs`: for `lameDuckMs` only `/readyz` says so, then members are
   * told to go and requests under way are answered. May be called at any moment, also before it listens; every
   * call returns the same promise, which never rejects.
   */
  close(): Promise<CloseReport>;
}

/** What an embedder may put in the place of a part. */
export interface Parts {
  /** Default: the memory of this process. */
  readonly broker?: Broker;
  /** Stands between the transports and the sessions; by default nothing does. */
  readonly wrap?: (accept: Accept) => Accept;
}

/** Connections that may wait to be accepted; the system may allow fewer. */
const BACKLOG = 4096;
/** How often a shutdown looks whether all requests are answered, in milliseconds. */
const ANSWERING_CHECK_MS = 10;
/** How often the HTTP server looks for requests that take too long. */
const TIME_LIMITS_CHECK_MS = 1000;

/**
 * A server that does not listen yet. `options` are those of `roomcast serve`, with the same checks
 * and defaults; `logLevel` bounds what `own` log is told. Options and parts are read once, here.
 *
 * @throws ConfigError
 */
export function createServer(
  options: Partial<Config> = {},
  own: Log = silent,
  { broker = new MemoryBroker(), wrap = (accept) => accept }: Parts = {},
): Server {
  const asked = checkConfig(options);
  const log = atLevel(own, asked.logLevel);
  for (const warning of warningsOf(asked)) log.warn({}, warning);
  const places = placesFor(asked, log);
  const config: Config = { ...asked, maxConnections: places.members };
  const limits = commandLimits(config);
  const detector = new Detector({
    mode: config.lockDetector,
    onReport: ({ text, ...report }) => log.warn({ report }, text),
  });
  const codec = new JsonCodec();
  const observer = new Recorder();
  const turns = new Turns();
  const closeLog = new CloseLog(log);
  const close = (member: Member, reason: CloseReason) => sessions.close(member, reason);
  const watch = { clock: new LoopClock(), kernel: new KernelQueues() };
  const hub: Hub = new Hub(config, broker, codec, observer, watch.clock, close, detector);
  const sessions = new Sessions(
    {
      config,
      hub,
      codec,
      limits,
      observer,
      turns,
      closeLog,
      failed: (session, error) => log.error({ err: error, member: session.member.id }, 'failed'),
    },
    detector,
  );
  const accept = wrap(sessions.accept.bind(sessions));
  const proxies = trustedProxies(config);
  const address = (request: IncomingMessage) => addressOf(request, proxies);
  let closing: Promise<CloseReport> | null = null;

  const metrics = createMetrics({ recorder: observer, gauges: hub, detector, version });
  const sampler = new Sampler({ recorder: observer, gauges: hub, detector });
  const sockets = new Sockets({
    limit: places.sockets,
    maxConnectionsPerAddress: config.maxConnectionsPerAddress,
    trustedProxies: proxies,
    observer,
    closeLog,
  });
  /** Requests that will be answered and be over; a stream is not one. */
  const answering = new Set<ServerResponse>();
  const streaming = (request: IncomingMessage, response: ServerResponse) => {
    answering.delete(response);
    sockets.claimFor(request, response);
  };
  const { heartbeatMs, maxBodyBytes } = config;
  const refused = (code: RefusalCode) => observer.refused(code);
  const requests = new Requests({ turns, refused });
  const { inTurn } = requests;
  const bodies = new Bodies({
    stallMs: config.stallAfterMs,
    networkOf: (request) => networkOf(address(request)),
  });
  const apiBuilt = buildHttp({
    config,
    limits,
    log,
    hub,
    observer,
    detector,
    sampler,
    metrics,
    inTurn,
    version,
    bodies,
    close,
    streaming,
    isClosing: () => closing !== null,
  });
  const memory = new IntakeMemory();
  const plain = new WebSocketAcceptor(plainDialect, {
    turns,
    memory,
    maxFrameBytes: config.maxMessageBytes,
    heartbeatMs,
    watch,
    refused,
  });
  // A message in it may be written in escapes.
  const wrapped = new WebSocketAcceptor(sockjsDialect, {
    turns,
    memory,
    maxFrameBytes: MAX_ESCAPE * config.maxMessageBytes + 4,
    heartbeatMs,
    watch,
    refused,
  });
  const sockjs = new SockjsServer({
    prefix: SOCKJS,
    origins: config.origin,
    maxBodyBytes,
    maxMessageBytes: config.maxMessageBytes,
    bodies,
    heartbeatMs,
    address,
    accept,
    inTurn,
    streaming,
    watch,
    refused,
  });

  const http = createHttpServer({
    IncomingMessage: BoundedRequest,
    connectionsCheckingInterval: TIME_LIMITS_CHECK_MS,
    // `normalise` does, with an answer of ours.
    requireHostHeader: false,
  });
  // Also the time in which a new connection has to send the whole head of its first request.
  http.headersTimeout = config.firstFrameMs;
  http.requestTimeout = Math.max(http.requestTimeout, config.firstFrameMs);
  sockets.watch(http);
  const upgradeWith =
    (acceptor: WebSocketAcceptor) => (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      sockets.claim(request.socket);
      acceptor.upgrade(request, socket, head, address(request), accept);
    };

  let listening: Promise<string> | null = null;
  async function open(): Promise<string> {
    const api = await apiBuilt;
    const entrance = new Entrance({
      origins: config.origin,
      refused,
      plain: upgradeWith(plain),
      wrapped: upgradeWith(wrapped),
      sockjs: (request, response) => sockjs.handle(request, response),
      api: (request, response) => api.handle(request, response),
    });
    http.on('request', (request, response) => {
      answering.add(response);
      response.once('close', () => answering.delete(response));
      requests.handle(request, response, () => entrance.request(request, response));
    });
    http.on('upgrade', (request, socket, head) => {
      if (!requests.refuse(request)) entrance.upgrade(request, socket, head);
    });
    if (closing === null) await listen(http, config);
    if (closing !== null) throw shuttingDown();
    return urlOf(http.address() as AddressInfo);
  }

  async function shutDown(): Promise<CloseReport> {
    const { lameDuckMs, drainMs, shutdownGraceMs } = config;
    const deadline = nowMs() + shutdownGraceMs;
    // A server in the middle of opening its socket cannot be stopped before it has it.
    await listening?.catch(() => {});
    const beside = Math.max(0, shutdownGraceMs - drainMs);
    if (http.listening) await sleep(Math.min(lameDuckMs, beside / 2));
    const left = () => Math.max(0, deadline - nowMs());
    const hubClosed = hub.close(left());
    // Polls are answered until their members have gone.
    const drained = await sessions.drain(deadline);
    const stopped = new Promise<void>((resolve) => http.close(() => resolve()));
    while (answering.size > 0 && left() > 0) await sleep(ANSWERING_CHECK_MS);
    plain.close();
    wrapped.close();
    sockjs.close();
    // Connections of the HTTP API, and whatever else has connected and is no member.
    for (const socket of sockets.open) resetSocket(socket);
    closeLog.close();
    const [waiting, api] = await Promise.all([hubClosed, apiBuilt, stopped]);
    await api.close();
    sampler.close();
    metrics.close();
    // Nothing is left to watch, and a timer of it would keep all of this for another second (V8).
    detector.configure({ mode: 'off' });
    watch.kernel.close();
    watch.clock.close();
    return { ...drained, waiting };
  }

  const server: Server = {
    async listen() {
      listening = open();
      try {
        return await listening;
      } catch (error) {
        await server.close();
        throw error;
      }
    },
    members: () => hub.members.values(),
    locks: () => detector.snapshot(),
    async publish(room, data, key) {
      const checked = checkPublish(room, jsonValueOf(data), key, undefined, limits);
      return hub.publish(null, checked.room, checked.data, { key: checked.key });
    },
    close() {
      closing ??= shutDown();
      return closing;
    },
  };
  return server;
}

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

function listen(http: HttpServer, { host, port }: Config): Promise<void> {
  return new Promise((resolve, reject) => {
    http.once('error', reject);
    http.listen({ port, host, backlog: BACKLOG }, () => {
      http.off('error', reject);
      resolve();
    });
  });
}

function urlOf({ address, family, port }: AddressInfo): string {
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}
