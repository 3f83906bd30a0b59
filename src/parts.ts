/**
 * What an embedder hands in beside options: a log, a broker, its own auth, a detector of locks, a registry of metrics. They are checked as
 * options are, with the same error (V14).
 *
 * Not here: what the parts do, options (`options/`).
 */
import type { Auth } from './auth/auth.js';
import type { Broker } from './broker/broker.js';
import { ConfigError } from './errors.js';
import { EVENTS, type EventName, type Listeners } from './events.js';
import { Detector } from './lock/index.js';
import { type Log, silent } from './log.js';
import { type AppRegistry, checkRegistry } from './metrics/app-registry.js';
import { show, unknownOption } from './options/check.js';
import type { Config } from './options/config.js';

interface Parts {
  /** Anything with the functions `info`, `warn` and `error`. Default: nothing is logged. */
  readonly log?: Log | undefined;
  /**
   * One of the app, instead of the name of one that options configure. It belongs to one roomcast, which
   * closes it.
   */
  readonly broker?: Broker | Config['broker'] | undefined;
  /** What the app says of who its connections are, and what they may. */
  readonly auth?: Auth | undefined;
  /** Listeners by the name of their event; `on` adds more. */
  readonly events?: Listeners | undefined;
  /** Watches the locks; then `lockDetector` has no effect. Default: one of its own. */
  readonly detector?: Detector | undefined;
  /**
   * A `Registry` of prom-client, such as its `register`: what it publishes has the metrics of roomcast
   * too, until `close`. Those of the process are left to the app (`collectDefaultMetrics`). Several
   * roomcasts in one registry are published as one.
   */
  readonly registry?: AppRegistry | undefined;
}

/** Every option of `roomcast serve`, and the parts. */
export type RoomcastOptions = Partial<Omit<Config, 'broker'>> & Parts;

/** The parts that were not given are undefined, except for the log. */
export interface CheckedParts {
  readonly log: Log;
  readonly broker: Broker | undefined;
  readonly auth: Auth | undefined;
  readonly events: Listeners;
  readonly detector: Detector | undefined;
  readonly registry: AppRegistry | undefined;
  /** What is left: to be checked by `checkConfig`. */
  readonly options: Partial<Config>;
}

const FUNCTIONS = {
  log: ['info', 'warn', 'error'],
  broker: [
    'onDeliver',
    'onReset',
    'onLost',
    'onState',
    'state',
    'publish',
    'subscribe',
    'unsubscribe',
    'close',
  ],
  registry: ['registerMetric', 'getSingleMetric', 'removeSingleMetric'],
} as const;

/** @throws ConfigError `bad_option` */
export function partsOf(given: RoomcastOptions): CheckedParts {
  const { log, broker: named, auth, events, detector, registry, ...others } = given ?? {};
  // A name is an option, and checked as one.
  const isPart = typeof named === 'object' && named !== null;
  const broker = isPart ? named : undefined;
  const options: Partial<Config> =
    isPart || named === undefined ? others : { ...others, broker: named };
  checkFunctions('log', log, 'with the functions info, warn and error, like console');
  checkFunctions('broker', broker, 'that implements Broker, like MemoryBroker');
  checkFunctions('registry', registry, 'with the functions of a Registry of prom-client');
  checkAuth(auth);
  if (registry !== undefined) checkRegistry(registry);
  if (detector !== undefined && !(detector instanceof Detector)) {
    throw notAllowed('detector', detector, 'a Detector of roomcast/lock');
  }
  return {
    log: log ?? silent,
    broker,
    auth,
    events: checkedEvents(events),
    detector,
    registry,
    // What is no object is refused with what it is.
    options:
      typeof given === 'object' && given !== null && !Array.isArray(given)
        ? options
        : (given as Partial<Config>),
  };
}

function checkedEvents(events: unknown): Listeners {
  if (events === undefined) return {};
  const allowed = `an object of functions, with the keys ${EVENTS.join(', ')}`;
  if (typeof events !== 'object' || events === null) throw notAllowed('events', events, allowed);
  for (const [name, listener] of Object.entries(events)) {
    if (!EVENTS.includes(name as EventName))
      throw unknownOption(`events ${show(name)}`, name, EVENTS);
    if (listener !== undefined && typeof listener !== 'function') {
      throw notAllowed(`events ${name}`, listener, 'a function');
    }
  }
  return { ...events };
}

const AUTH: readonly (keyof Auth)[] = ['connect', 'join', 'publish'];

function checkAuth(auth: unknown): void {
  if (auth === undefined) return;
  const given = (typeof auth === 'object' ? auth : null) as Readonly<
    Record<string, unknown>
  > | null;
  const values = AUTH.map((name) => given?.[name]);
  const isAuth =
    values.some((value) => value !== undefined) &&
    values.every((value) => value === undefined || typeof value === 'function');
  if (!isAuth) throw notAllowed('auth', auth, `an object with functions, of ${AUTH.join(', ')}`);
}

function checkFunctions(name: keyof typeof FUNCTIONS, part: unknown, what: string): void {
  if (part === undefined) return;
  const has = (each: string) =>
    typeof part === 'object' &&
    part !== null &&
    typeof (part as Readonly<Record<string, unknown>>)[each] === 'function';
  if (!FUNCTIONS[name].every(has)) throw notAllowed(name, part, `an object ${what}`);
}

function notAllowed(option: string, value: unknown, allowed: string): ConfigError {
  return new ConfigError(`${option} ${show(value)} is not allowed: give ${allowed}`, {
    code: 'bad_option',
    option,
    value,
    allowed,
  });
}
