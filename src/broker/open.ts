/**
 * Opens the broker of a server, either the one that an app passes in or the one that the options
 * select, and logs its connection events.
 */
import { ConfigError } from '../errors.js';
import type { Log } from '../log.js';
import type { Config, HistoryPolicy } from '../options/config.js';
import { histories, namespaceOf } from '../options/namespaces.js';
import type { Broker } from './broker.js';
import { MemoryBroker } from './memory.js';
import type { RedisEvents } from './redis/config.js';
import { needLibrary } from './redis/link.js';
import { RedisBroker } from './redis/redis.js';

/** The log that Redis keeps of each room at least, so that a node can catch up after a disconnect. */
const KEPT = { messages: 100, ms: 60_000 };

/** Most causes logged during one outage. */
const MOST_CAUSES = 16;

export interface Opened {
  readonly broker: Broker;
  /** The memory broker; null for any other. */
  readonly memory: MemoryBroker | null;
  /** The Redis broker; null for any other. */
  readonly redis: RedisBroker | null;
  /**
   * Resolves when the broker is connected or its first attempt has failed; after a failure it keeps
   * retrying. Rejects with ConfigError if retrying cannot help.
   */
  readonly ready: Promise<void>;
  /** Applies changed history options. */
  reload(): void;
}

/** @throws ConfigError if a required package is not installed */
export function openBroker(given: Broker | undefined, config: Config, log: Log): Opened {
  const ready = Promise.resolve();
  if (given !== undefined) return { broker: given, memory: null, redis: null, ready, reload() {} };
  if (config.broker === 'redis') return openRedis(config, log);
  const broker = new MemoryBroker(config);
  return { broker, memory: broker, redis: null, ready, reload: () => broker.reload() };
}

function openRedis(config: Config, log: Log): Opened {
  needLibrary();
  const { redisUrl, clusterName, brokerTickMs, positionCheckMs, idleRoomMs } = config;
  const { resumeRoomsPerSecond } = config;
  let policies = histories(config);
  let settle: (error: ConfigError | null) => void = () => {};
  const ready = new Promise<void>((resolve, reject) => {
    settle = (error) => (error === null ? resolve() : reject(error));
  });
  // Callers that do not await `ready` find the failure in the log.
  ready.catch(() => {});
  const broker = new RedisBroker(
    {
      url: redisUrl,
      clusterName,
      tickMs: brokerTickMs,
      positionCheckMs,
      resumeRoomsPerSecond,
      idleRoomMs,
      timeoutMs: config.brokerTimeoutMs,
      kept: KEPT,
      history: (room) =>
        (policies.get(namespaceOf(room)) ?? policies.get('default')) as HistoryPolicy,
    },
    logged(log, clusterName, (error) => settle(error)),
  );
  const reload = () => {
    policies = histories(config);
  };
  return { broker, memory: null, redis: broker, ready, reload };
}

/** `settled` is called when an attempt has ended, with an error if retrying cannot help. */
function logged(
  log: Log,
  clusterName: string,
  settled: (error: ConfigError | null) => void,
): RedisEvents {
  let isLinked = false;
  /** Causes logged during the current outage. */
  const told = new Set<string>();
  const advised = new Set<string>();
  return {
    linked(cost) {
      log.info({ clusterName, ...cost }, told.size > 0 ? 'Redis is back' : 'Redis is connected');
      isLinked = true;
      told.clear();
      settled(null);
    },
    unlinked(cause, isOurs) {
      const { message } = cause;
      if (isOurs && !isLinked) settled(unusable(message));
      else settled(null);
      isLinked = false;
      // Logs once per cause, not per attempt. Bounded, since some causes contain varying text.
      if (told.has(message) || told.size >= MOST_CAUSES) return;
      told.add(message);
      log.warn({ err: cause }, `Redis cannot be reached: ${message}`);
    },
    refuses(error) {
      if (error === '') log.info({}, 'Redis accepts writes again');
      else log.warn({}, `Redis refuses writes: ${error}`);
    },
    advice(text) {
      if (advised.has(text)) return;
      advised.add(text);
      log.warn({}, text);
    },
  };
}

const unusable = (why: string): ConfigError => {
  const allowed =
    'the address of a Redis server, 6.2 or later, whose user has the rights listed in docs/redis.md';
  return new ConfigError(`redisUrl (not shown) cannot be used: ${why}; give ${allowed}`, {
    code: 'bad_option',
    option: 'redisUrl',
    allowed,
  });
};
