/**
 * The objects an app may pass in addition to options: log, broker, auth, event listeners, lock detector and
 * metrics registry. Their checks are like those of options and throw the same error (V14).
 *
 * Not here: implementations of the parts, the options (`options/`).
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
  /** An object with the functions `info`, `warn` and `error`. Default: nothing is logged. */
  readonly log?: Log | undefined;
  /**
   * A broker of the app, or the name of a built-in one that the options configure. A broker belongs to one
   * roomcast, which closes it.
   */
  readonly broker?: Broker | Config['broker'] | undefined;
  /** The app's own authentication and authorization. */
  readonly auth?: Auth | undefined;
  /** Listeners by event name; `on` adds more. */
  readonly events?: Listeners | undefined;
  /** Watches the locks; `lockDetector` then has no effect. Default: a detector per roomcast. */
  readonly detector?: Detector | undefined;
  /**
   * A `Registry` of prom-client, such as its `register`. It exposes the metrics of roomcast until `close`.
   * Process metrics are left to the app (`collectDefaultMetrics`). Several roomcasts in one registry are
   * exposed as one.
   */
  readonly registry?: AppRegistry | undefined;
}

/** Every option of `roomcast serve`, and the parts. */
export type RoomcastOptions = Partial<Omit<Config, 'broker'>> & Parts;

/** Parts that were not given are undefined, except for the log. */
export interface CheckedParts {
  readonly log: Log;
  readonly broker: Broker | undefined;
  readonly auth: Auth | undefined;
  readonly events: Listeners;
  readonly detector: Detector | undefined;
  readonly registry: AppRegistry | undefined;
  /** The remaining options, for `checkConfig`. */
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
  // The name of a broker is an option and is checked as one.
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
    // `checkConfig` refuses a value that is not an object, and its error names the value.
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
  if (!isAuth) {
    throw notAllowed(
      'auth',
      auth,
      `an object with at least one of the functions ${AUTH.join(', ')}`,
    );
  }
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
