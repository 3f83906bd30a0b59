/**
 * The composition root: builds the parts of a roomcast and takes them down in reverse order. It serves
 * what a server hands it, its own (`serve.ts`) or an app's (`attachment.ts`), and never listens.
 *
 * V7: `close` may be called at any moment and any number of times; it is one shared promise with a
 * deadline, holds no lock, and returns what it had to abandon. V8: every timer and listener made here
 * ends with it.
 */
import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { attach, type Taker } from './attachment.js';
import type { Position } from './broker/broker.js';
import { CloseLog } from './close-log.js';
import { placesFor } from './descriptors.js';
import { isBelow } from './entrance.js';
import { CLOSE, type CloseReason, type RefusalCode } from './errors.js';
import { EVENTS, type EventName, Events, type Listener } from './events.js';
import type { HttpApp } from './http/app.js';
import { Sampler } from './http/sampler.js';
import { type MemberInfo, memberInfo, type RoomInfo, roomInfo } from './info.js';
import { Detector, type LockSnapshot } from './lock/index.js';
import { atLevel, type Log } from './log.js';
import { LoopClock } from './loop-clock.js';
import { Recorder } from './metrics/recorder.js';
import { createMetrics } from './metrics/registry.js';
import { show } from './options/check.js';
import { type Config, checkConfig, commandLimits, trustedProxies } from './options/config.js';
import { warningsOf } from './options/together.js';
import { partsOf, type RoomcastOptions } from './parts.js';
import { checkPublish, jsonValueOf } from './protocol/fields.js';
import { JsonCodec } from './protocol/json.js';
import { Requests } from './requests.js';
import { Responses } from './responses.js';
import { Hub } from './room/hub.js';
import type { Member } from './room/member.js';
import { type Drained, Sessions } from './session/sessions.js';
import { Sockets } from './sockets.js';
import { nowMs, setTimeout } from './time.js';
import { addressOf, networkOf } from './transport/address.js';
import { Bodies } from './transport/bodies.js';
import { KernelQueues } from './transport/kernel-queue.js';
import { resetSocket } from './transport/reset-socket.js';
import type { Accept } from './transport/transport.js';
import { openTransports } from './transports.js';
import { Turns } from './turns.js';
import { version } from './version.js';

/** What a shutdown came to. */
export interface CloseReport extends Drained {
  /** Names of what was still waited for at the deadline, such as calls of the broker. */
  readonly waiting: readonly string[];
}

export interface Roomcast {
  /**
   * Serves rooms on an HTTP server of the app, at `/ws` and below `/sockjs`, or everything that there is
   * below `pathPrefix`; every other request and upgrade is left to the app. May be called for several servers.
   *
   * @returns what detaches it; members stay
   * @throws TypeError for what is no server of `node:http` or `node:https`
   */
  attach(server: HttpServer): () => void;
  /**
   * Answers a request that is for it; of any other it returns false, or calls `next`. Works as a
   * middleware of Express and connect, which has to stand before any that reads bodies.
   */
  readonly handle: (
    request: IncomingMessage,
    response: ServerResponse,
    next?: () => void,
  ) => boolean;
  /** Takes an upgrade that is for it, as the event `upgrade` of a server has it; false of any other. */
  readonly handleUpgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => boolean;
  /**
   * Publishes a value as `JSON.stringify` writes it, with the checks of the HTTP API.
   *
   * @throws Refusal as a rejection: `bad_room`, `bad_command`, `too_deep`, `message_too_big`,
   *   `room_busy`, `broker_unavailable`, `broker_uncertain`, `shutting_down`
   */
  publish(room: string, data: unknown, key?: string): Promise<Position>;
  /** Who is connected now. */
  members(): MemberInfo[];
  /** The rooms that somebody is in now. */
  rooms(): RoomInfo[];
  /**
   * Ends the connection of a member, by default with 4003, which says not to come back. False when no
   * member has this id.
   *
   * @throws TypeError for a reason that there is none of
   */
  kick(member: string, reason?: CloseReason): boolean;
  /**
   * Calls `listener` for each event of this name, after the turn of the loop that it happened in.
   * What it throws or rejects with is logged. Returns what ends it.
   *
   * @throws TypeError for an event that there is none of, or a listener that is no function
   */
  on<Name extends EventName>(event: Name, listener: Listener<Name>): () => void;
  /** Everything counted, in the text format of Prometheus. */
  metrics(): Promise<string>;
  /** What of its locks is held and waited for now. */
  locks(): LockSnapshot;
  /**
   * Shuts down within `shutdownGraceMs`: members are told to go and requests under way are answered.
   * A server it is attached to goes on without it. May be called at any moment; every call returns
   * the same promise, which never rejects.
   */
  close(): Promise<CloseReport>;
}

/** A server of our own, which has nothing else to serve. */
interface Host {
  /** Resolves once it is decided: whether it listens. */
  readonly isListening: Promise<boolean>;
  /** Accepts nothing more; resolves when no connection is left. */
  stop(): Promise<void>;
}

/** What `serve` and `startTestServer` need of a roomcast beside what everybody gets. */
export interface Composed {
  readonly roomcast: Roomcast;
  readonly config: Config;
  readonly log: Log;
  readonly sockets: Sockets;
  /** Those of the internal port. */
  readonly internal: WeakSet<Socket>;
  readonly members: ReadonlyMap<string, Member>;
  readonly isClosing: boolean;
  /** Resolves once the HTTP API can answer. From now on every request is for it. */
  prepare(): Promise<unknown>;
  /** To be called before `close` is. */
  hostedBy(host: Host): void;
  readonly taker: Taker;
}

/**
 * A roomcast that nothing is served by yet. Options are those of `roomcast serve`, with the same checks
 * and defaults; `logLevel` bounds what the log is told. Everything is read once, here.
 *
 * @throws ConfigError
 */
export function createRoomcast(options: RoomcastOptions = {}): Roomcast {
  return compose(options).roomcast;
}

/** `wrap` stands between the transports and the sessions. */
export function compose(
  options: RoomcastOptions,
  wrap: (accept: Accept) => Accept = (accept) => accept,
): Composed {
  const { broker, ...parts } = partsOf(options);
  const asked = checkConfig(parts.options);
  const log: Log = atLevel(parts.log, asked.logLevel);
  for (const warning of warningsOf(asked)) log.warn({}, warning);
  const places = placesFor(asked, log);
  const config: Config = Object.freeze({ ...asked, maxConnections: places.members });
  const limits = commandLimits(config);
  const detector =
    parts.detector ??
    new Detector({
      mode: config.lockDetector,
      onReport: ({ text, ...report }) => log.warn({ report }, text),
    });
  const codec = new JsonCodec();
  const observer = new Recorder();
  const events = new Events({ log, count: (name) => observer.listenerFailed(name) });
  for (const name of EVENTS) {
    const listener = parts.events[name] as Listener<EventName> | undefined;
    if (listener !== undefined) events.on(name, listener);
  }
  const turns = new Turns();
  const closeLog = new CloseLog(log);
  const close = (member: Member, reason: CloseReason) => sessions.close(member, reason);
  const watch = { clock: new LoopClock(), kernel: new KernelQueues() };
  const hub: Hub = new Hub(config, broker, codec, observer, watch.clock, close, detector, events);
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
  const proxies = trustedProxies(config);
  const address = (request: IncomingMessage) => addressOf(request, proxies);
  let closing: Promise<CloseReport> | null = null;
  let host: Host | null = null;

  const metrics = createMetrics({ recorder: observer, gauges: hub, detector, version });
  const sampler = new Sampler({ recorder: observer, gauges: hub, detector });
  const sockets = new Sockets({
    limit: places.sockets,
    maxConnectionsPerAddress: config.maxConnectionsPerAddress,
    trustedProxies: proxies,
    observer,
    closeLog,
  });
  const internal = new WeakSet<Socket>();
  const responses = new Responses();
  const streaming = (request: IncomingMessage, response: ServerResponse) => {
    responses.stream(response);
    sockets.claimFor(request, response);
  };
  const refused = (code: RefusalCode) => observer.refused(code);
  const requests = new Requests({ turns, refused });
  const { inTurn } = requests;
  const bodies = new Bodies({
    stallMs: config.stallAfterMs,
    networkOf: (request) => networkOf(address(request)),
  });

  let api: HttpApp | null = null;
  let apiBuilt: Promise<HttpApp> | null = null;
  async function buildApi(): Promise<HttpApp> {
    // An app that has rooms and nothing else never loads it.
    const { buildHttp } = await import('./http/app.js');
    api = await buildHttp({
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
      isInternal: ({ socket }) => internal.has(socket),
      isClosing: () => closing !== null,
    });
    return api;
  }

  function prepare(): Promise<HttpApp> {
    apiBuilt ??= buildApi();
    return apiBuilt;
  }

  const transports = openTransports({
    config,
    turns,
    watch,
    bodies,
    inTurn,
    accept: wrap(sessions.accept.bind(sessions)),
    address,
    refused,
    claim: ({ socket }) => sockets.claim(socket),
    streaming,
    api(request, response) {
      if (api !== null) api.handle(request, response);
      // That it cannot be built is told to who waits for it, too.
      else
        prepare().then(
          (built) => built.handle(request, response),
          () => response.destroy(),
        );
    },
  });
  const { entrance } = transports;
  const isOurs = (request: IncomingMessage) => isBelow(config.pathPrefix, request);
  const taker: Taker = {
    isOurs,
    request(request, response) {
      responses.add(response);
      requests.handle(request, response, () => entrance.request(request, response));
    },
    upgrade(request, socket, head) {
      if (!requests.refuse(request)) entrance.upgrade(request, socket, head);
    },
  };
  const detachers = new Set<() => void>();

  async function shutDown(): Promise<CloseReport> {
    const { lameDuckMs, drainMs, shutdownGraceMs } = config;
    const deadline = nowMs() + shutdownGraceMs;
    const left = () => Math.max(0, deadline - nowMs());
    // A server in the middle of opening its socket cannot be stopped before it has it.
    if (await host?.isListening) {
      await sleep(Math.min(lameDuckMs, Math.max(0, shutdownGraceMs - drainMs) / 2));
    }
    const hubClosed = hub.close(left());
    // Polls are answered until their members have gone.
    const drained = await sessions.drain(deadline);
    const stopped = host?.stop();
    await responses.answered(left);
    transports.close();
    responses.reset();
    // Connections of the HTTP API, and whatever else has connected and is no member.
    for (const socket of sockets.open) resetSocket(socket);
    closeLog.close();
    for (const detach of detachers) detach();
    // That it could not be built was told to who asked for it.
    const [waiting, built] = await Promise.all([hubClosed, apiBuilt?.catch(() => null), stopped]);
    await built?.close();
    sampler.close();
    metrics.close();
    // Nothing is left to watch, and a timer of it would keep all of this for another second (V8).
    if (parts.detector === undefined) detector.configure({ mode: 'off' });
    watch.kernel.close();
    watch.clock.close();
    return { ...drained, waiting };
  }

  const roomcast: Roomcast = {
    attach(server) {
      const detach = attach(server, taker);
      const once = () => {
        if (detachers.delete(once)) detach();
      };
      detachers.add(once);
      return once;
    },
    handle(request, response, next) {
      if (isOurs(request)) {
        taker.request(request, response);
        return true;
      }
      next?.();
      return false;
    },
    handleUpgrade(request, socket, head) {
      if (!isOurs(request)) return false;
      taker.upgrade(request, socket, head);
      return true;
    },
    async publish(room, data, key) {
      const checked = checkPublish(room, jsonValueOf(data), key, undefined, limits);
      return hub.publish(null, checked.room, checked.data, { key: checked.key });
    },
    members() {
      const now = nowMs();
      return Array.from(hub.members.values(), (member) => memberInfo(member, now));
    },
    rooms: () =>
      Array.from(hub.rooms.values())
        .filter(({ size }) => size > 0)
        .map(roomInfo),
    kick(id, reason = 'forbidden') {
      if (!Object.hasOwn(CLOSE, reason)) {
        throw new TypeError(noneOf('reason', reason, Object.keys(CLOSE)));
      }
      const member = hub.members.get(id);
      if (member === undefined) return false;
      close(member, reason);
      return true;
    },
    on(name, listener) {
      if (!EVENTS.includes(name)) throw new TypeError(noneOf('event', name, EVENTS));
      if (typeof listener !== 'function') {
        throw new TypeError(`listener ${show(listener)} is not allowed: give a function`);
      }
      return events.on(name, listener);
    },
    metrics: () => metrics.scrape(),
    locks: () => detector.snapshot(),
    close() {
      closing ??= shutDown();
      return closing;
    },
  };
  return {
    roomcast,
    config,
    log,
    sockets,
    internal,
    members: hub.members,
    taker,
    get isClosing() {
      return closing !== null;
    },
    prepare,
    hostedBy(its) {
      host = its;
    },
  };
}

const noneOf = (what: string, value: unknown, all: readonly string[]) =>
  `${what} ${show(value)} is not allowed: give one of ${all.join(', ')}`;

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
