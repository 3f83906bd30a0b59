/**
 * The broker of a server: the one that an app hands in, or that the options ask for, and what is said of
 * it in the log.
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

/** What Redis keeps of each room, so that a cut between it and a node costs nothing. */
const KEPT = { messages: 100, ms: 60_000 };

/** Most causes that are told of one outage. */
const MOST_CAUSES = 16;

export interface Opened {
  readonly broker: Broker;
  /** The one whose history is in this process; null for another. */
  readonly memory: MemoryBroker | null;
  /** Null for another. */
  readonly redis: RedisBroker | null;
  /**
   * Resolves when rooms can be joined, or when that will not be soon; then it goes on trying. Rejects with
   * ConfigError when trying is of no use.
   */
  readonly ready: Promise<void>;
  /** Looks again at what the options say of what rooms keep. */
  reload(): void;
}

/** @throws ConfigError where what it needs is not installed */
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
  // Whoever does not wait for it has the log.
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

/** `settled`: the first attempt has ended; with an error where no other can succeed. */
function logged(
  log: Log,
  clusterName: string,
  settled: (error: ConfigError | null) => void,
): RedisEvents {
  let isLinked = false;
  /** What was said of the present outage. */
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
      // One line a cause, not one an attempt; some name what is never the same.
      if (told.has(message) || told.size >= MOST_CAUSES) return;
      told.add(message);
      log.warn({ err: cause }, `Redis cannot be reached: ${message}`);
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
    'the address of a Redis, 6.2 or later, with a user that may do what docs/redis.md says';
  return new ConfigError(`redisUrl (not shown) cannot be used: ${why}; give ${allowed}`, {
    code: 'bad_option',
    option: 'redisUrl',
    allowed,
  });
};
