/**
 * What an embedder hands in beside options: a log, a broker, a detector of locks. They are checked as
 * options are, with the same error (V14).
 *
 * Not here: what the parts do, options (`options/`).
 */
import type { Broker } from './broker/broker.js';
import { MemoryBroker } from './broker/memory.js';
import { ConfigError } from './errors.js';
import { EVENTS, type EventName, type Listeners } from './events.js';
import { Detector } from './lock/index.js';
import { type Log, silent } from './log.js';
import { show, unknownOption } from './options/check.js';
import type { Config } from './options/config.js';

interface Parts {
  /** Anything with the functions `info`, `warn` and `error`. Default: nothing is logged. */
  readonly log?: Log | undefined;
  /** Default: the memory of this process. It belongs to one roomcast, which closes it. */
  readonly broker?: Broker | undefined;
  /** Listeners by the name of their event; `on` adds more. */
  readonly events?: Listeners | undefined;
  /** Watches the locks; then `lockDetector` has no effect. Default: one of its own. */
  readonly detector?: Detector | undefined;
}

/** Every option of `roomcast serve`, and the parts. */
export type RoomcastOptions = Partial<Config> & Parts;

/** The parts that were not given are undefined, except for the log and the broker. */
export interface CheckedParts {
  readonly log: Log;
  readonly broker: Broker;
  readonly events: Listeners;
  readonly detector: Detector | undefined;
  /** What is left: to be checked by `checkConfig`. */
  readonly options: Partial<Config>;
}

const FUNCTIONS = {
  log: ['info', 'warn', 'error'],
  broker: ['onDeliver', 'publish', 'subscribe', 'unsubscribe', 'close'],
} as const;

/** @throws ConfigError `bad_option` */
export function partsOf(given: RoomcastOptions): CheckedParts {
  const { log, broker, events, detector, ...options } = given ?? {};
  checkFunctions('log', log, 'with the functions info, warn and error, like console');
  checkFunctions('broker', broker, 'that implements Broker, like MemoryBroker');
  if (detector !== undefined && !(detector instanceof Detector)) {
    throw notAllowed('detector', detector, 'a Detector of roomcast/lock');
  }
  return {
    log: log ?? silent,
    broker: broker ?? new MemoryBroker(),
    events: checkedEvents(events),
    detector,
    // What is no object is refused with what it is.
    options: typeof given === 'object' && given !== null && !Array.isArray(given) ? options : given,
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
