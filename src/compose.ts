/**
 * The composition root: builds the parts of a roomcast and connects them. It handles the requests that
 * our own server (`serve.ts`) or an app's server (`attachment.ts`) passes to it, and never listens.
 *
 * V8: `close` releases every timer and listener made here. Not here: the order of a shutdown
 * (`shutdown.ts`), the public object (`roomcast.ts`).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { hostname } from 'node:os';
import { errorFields } from './app-error.js';
import type { Taker } from './attachment.js';
import { Authenticator } from './auth/authenticator.js';
import { openBroker } from './broker/open.js';
import { CloseLog } from './close-log.js';
import type { Composed } from './composed.js';
import { placesFor } from './descriptors.js';
import { isBelow } from './entrance.js';
import { type CloseReason, ConfigError, type RefusalCode } from './errors.js';
import { EVENTS, type EventName, Events, type Listener } from './events.js';
import { Sampler } from './http/sampler.js';
import { LazyApi } from './lazy-api.js';
import { Detector } from './lock/index.js';
import { atLevel, FailureLog, type Log } from './log.js';
import { LoopClock } from './loop-clock.js';
import { Recorder } from './metrics/recorder.js';
import { createMetrics } from './metrics/registry.js';
import { type Config, checkConfig, commandLimits, trustedProxies } from './options/config.js';
import { leastPatienceMs } from './options/namespaces.js';
import { checkReload } from './options/reload.js';
import { warningsOf } from './options/together.js';
import { partsOf, type RoomcastOptions } from './parts.js';
import { JsonCodec } from './protocol/json.js';
import { Requests } from './requests.js';
import { Responses } from './responses.js';
import { Hub } from './room/hub.js';
import type { Member } from './room/member.js';
import { type CloseReport, type Roomcast, roomcastOf } from './roomcast.js';
import type { Seat } from './seat.js';
import { People } from './session/people.js';
import { Sessions } from './session/sessions.js';
import { type Host, shutDownAll } from './shutdown.js';
import { Sockets } from './sockets.js';
import { onSurvived } from './survived.js';
import { openTracing } from './tracing.js';
import { addressOf, networkOf } from './transport/address.js';
import { Bodies } from './transport/bodies.js';
import { KernelQueues } from './transport/kernel-queue.js';
import { takeTurnsAtEnd } from './transport/socket-ends.js';
import type { Accept } from './transport/transport.js';
import { openTransports } from './transports.js';
import { Turns } from './turns.js';
import { version } from './version.js';

/**
 * Creates a roomcast that is not attached to a server yet. It takes the options of `roomcast serve`, with
 * the same checks and defaults; `logLevel` filters the lines that `log` gets. Options are read once, here.
 *
 * @throws ConfigError
 */
export function createRoomcast(options: RoomcastOptions = {}): Roomcast {
  return compose(options).roomcast;
}

/** `wrap` is inserted between the transports and the sessions; `seat` is set in a worker of several. */
export function compose(
  options: RoomcastOptions,
  wrap: (accept: Accept) => Accept = (accept) => accept,
  seat: Seat | null = null,
): Composed {
  const parts = partsOf(options);
  const asked = checkConfig(parts.options);
  if (seat === null && asked.workers !== 1) throw oneProcess(asked.workers);
  const trace = asked.tracing ? openTracing() : null;
  /** Changed only by `prepareReload`. */
  const config: Config = { ...asked };
  const observer = new Recorder();
  const log: Log = atLevel(parts.log, config, () => observer.survived('log'));
  const failures = new FailureLog(log);
  const stopReports = onSurvived((error) => {
    observer.survived('callback');
    failures.add(errorFields(error), 'a callback failed');
  });
  // With several workers, only the first logs the warnings.
  if (seat === null || seat.slot === 0) {
    for (const warning of warningsOf(asked)) log.warn({}, warning);
  }
  const places = placesFor(asked, log);
  const placed = { maxConnections: places.members };
  Object.assign(config, placed);
  const opened = openBroker(parts.broker, config, log);
  const { ready, redis } = opened;
  const broker = seat === null ? opened.broker : seat.around(opened.broker);
  const limits = commandLimits(config);
  const detector =
    parts.detector ??
    new Detector({
      mode: config.lockDetector,
      onReport: ({ text, ...report }) => log.warn({ report }, text),
    });
  const codec = new JsonCodec();
  const auth = new Authenticator(config, log, observer, parts.auth);
  const people = new People(auth.revocations);
  const events = new Events({ log, count: (name) => observer.listenerFailed(name) });
  for (const name of EVENTS) {
    const listener = parts.events[name] as Listener<EventName> | undefined;
    if (listener !== undefined) events.on(name, listener);
  }
  const turns = new Turns();
  const closeLog = new CloseLog(log);
  const close = (member: Member, reason: CloseReason) => sessions.close(member, reason);
  const watch = { clock: new LoopClock(), kernel: new KernelQueues(() => leastPatienceMs(config)) };
  const hub: Hub = new Hub(
    config,
    broker,
    codec,
    observer,
    watch.clock,
    close,
    detector,
    events,
    trace,
  );
  redis?.describe(() => ({
    server: `${hostname()}:${seat === null ? process.pid : process.ppid}`,
    slot: seat?.slot ?? null,
    version,
    upMs: Math.round(process.uptime() * 1e3),
    members: hub.members.size,
  }));
  const sessions = new Sessions(
    {
      config,
      hub,
      codec,
      limits,
      observer,
      turns,
      closeLog,
      auth,
      people,
      failed(session, error) {
        observer.survived('session');
        failures.add({ ...errorFields(error), member: session.member.id }, 'a session failed');
      },
    },
    detector,
  );
  const proxies = trustedProxies(config);
  const address = (request: IncomingMessage) =>
    seat?.addressOf(request) ?? addressOf(request, proxies);
  const toClose = new AbortController();
  let closing: Promise<CloseReport> | null = null;
  let host: Host | null = null;

  const gauges = seat === null ? hub : seat.gauges(hub);
  const metrics = createMetrics({
    recorder: observer,
    gauges,
    config,
    hub,
    brokers: opened,
    auth,
    people,
    log,
    workers: seat ?? undefined,
    detector,
    version,
    registry: parts.registry,
  });
  const sampler = new Sampler({
    recorder: observer,
    gauges,
    detector,
    hub,
    brokers: opened,
    people,
  });
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

  const api = new LazyApi({
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
    auth,
    historyLimitBytes: opened.memory?.keeping.limit ?? 0,
    people,
    streaming,
    peers: seat?.peers ?? null,
    nodes: redis && (() => redis.nodes()),
    isInternal: ({ socket }) => internal.has(socket),
    closing: toClose.signal,
  });

  const transports = openTransports({
    config,
    turns,
    watch,
    bodies,
    inTurn,
    accept: wrap(sessions.accept.bind(sessions)),
    address,
    refused,
    claim({ socket }) {
      takeTurnsAtEnd(socket);
      sockets.claim(socket);
    },
    streaming,
    forward: seat === null ? undefined : seat.forward,
    api: (request, response) => api.handle(request, response),
  });
  const { entrance } = transports;
  const isOurs = (request: IncomingMessage) => isBelow(config.pathPrefix, request);
  const taker: Taker = {
    isOurs,
    request(request, response) {
      if (!responses.add(response)) return;
      requests.handle(request, response, () => entrance.request(request, response));
    },
    upgrade(request, socket, head) {
      if (requests.refuse(request)) return;
      requests.upgrade(request, () => entrance.upgrade(request, socket, head));
    },
  };
  const detachers = new Set<() => void>();

  function shutDown(): Promise<CloseReport> {
    toClose.abort();
    return shutDownAll({
      config,
      host,
      hub,
      sessions,
      seat,
      responses,
      transports,
      sockets,
      api: api.ifBuilt(),
      ends() {
        closeLog.close();
        for (const detach of detachers) detach();
      },
      last() {
        auth.close();
        sampler.close();
        metrics.close();
        // A timer of our own detector would keep all of this in memory for another second (V8).
        if (parts.detector === undefined) detector.configure({ mode: 'off' });
        watch.kernel.close();
        watch.clock.close();
        stopReports();
      },
    });
  }

  const roomcast = roomcastOf({
    hub,
    people,
    events,
    detector,
    metrics,
    limits,
    taker,
    detachers,
    closeMember: close,
    close() {
      closing ??= shutDown();
      return closing;
    },
  });
  return {
    roomcast,
    config,
    log,
    sockets,
    internal,
    members: hub.members,
    archive: hub.archive,
    taker,
    clientError: (error, socket) => requests.failed(error, socket),
    get isClosing() {
      return toClose.signal.aborted;
    },
    ready,
    prepare: () => api.prepare(),
    recorder: observer,
    people,
    read: () => metrics.read(),
    prepareReload(next) {
      checkReload({ ...config, maxConnections: asked.maxConnections }, next);
      const takeKeys = auth.prepare(next);
      return () => {
        Object.assign(config, next, placed);
        Object.assign(limits, commandLimits(config));
        takeKeys();
        hub.reload();
        opened.reload();
        for (const warning of warningsOf(next)) log.warn({}, warning);
      };
    },
    hostedBy(its) {
      host = its;
    },
  };
}

function oneProcess(workers: number): ConfigError {
  const allowed = '1, or run roomcast serve --workers';
  return new ConfigError(
    `workers ${workers} is not allowed here: a roomcast created by a program runs in one process; give ${allowed}`,
    { code: 'bad_option', option: 'workers', value: workers, allowed },
  );
}
