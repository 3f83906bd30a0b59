/**
 * One link to a Redis primary: a connection for commands and one for subscriptions, which end together.
 * V22: nothing here reconnects, resends or resubscribes. When a link ends, all its pending calls fail,
 * and whether an unanswered command was carried out is unknown.
 *
 * V20: opening a link first sends the server's `run_id` and learns the term, which every script
 * carries. A link ends on the error `TERM` of a server in another term, and on every error that says
 * this is no primary (`READONLY`, `LOADING`, `NOSCRIPT`, `MASTERDOWN`).
 *
 * Not here: when a link is opened (`redis.ts`), whether it is alive (`ticks.ts`).
 */
import { randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import type * as Library from '@redis/client';
import { ConfigError } from '../../errors.js';
import { clearTimeout, nowMs, setTimeout } from '../../time.js';
import { ALIVE, CHANGED, PRESENT, SHARE } from './board-scripts.js';
import type { Keys } from './keys.js';
import { PAST, PURGE, READ } from './log-scripts.js';
import { LEAVE, NODES } from './nodes.js';
import { channelsOf, keysOf, RIGHTS } from './rights.js';
import { BEAT, HELLO, LOOK, OPEN, PUBLISH, type Script, TERM_ENDED } from './scripts.js';

/** Address of a primary. */
export interface Address {
  /** `redis://` or `rediss://`, with user and password if required. */
  readonly url: string;
}

type Client = ReturnType<typeof connection>;
export type Reply = string | number | null | readonly Reply[];

/** A failure that only the operator can fix: retrying soon does not help, and it is logged once. */
export class Misconfigured extends Error {}

const LEAST_VERSION = [6, 2] as const;
const SCRIPTS: readonly Script[] = [
  RIGHTS,
  HELLO,
  PUBLISH,
  LOOK,
  OPEN,
  READ,
  PAST,
  PURGE,
  BEAT,
  NODES,
  LEAVE,
  SHARE,
  PRESENT,
  ALIVE,
  CHANGED,
];
/** Errors that mean the server is not the primary of our term, or has lost our scripts. */
const ENDING = new RegExp(`^(${TERM_ENDED}|READONLY|LOADING|NOSCRIPT|MASTERDOWN)\\b`);
/** Errors for missing rights or a wrong password; no retry fixes them. */
const REFUSING =
  /^(NOAUTH|WRONGPASS|NOPERM|ERR invalid password|ERR Client sent AUTH|ERR ACL failure)/;
/** Channels per SUBSCRIBE: each is confirmed by a push of its own. */
const CHANNELS_A_COMMAND = 512;

let loaded: typeof Library | null = null;

/**
 * Does not return the library: its types stay in this file, so that an app without it compiles against
 * ours.
 *
 * @throws ConfigError if the library is not installed
 */
export function needLibrary(): void {
  library();
}

/** An optional peer that users of Redis install beside roomcast. */
function library(): typeof Library {
  if (loaded !== null) return loaded;
  try {
    loaded = createRequire(import.meta.url)('@redis/client') as typeof Library;
    return loaded;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error;
    const allowed = 'memory, or run: npm install @redis/client';
    throw new ConfigError(
      `broker "redis" is not allowed: @redis/client is not installed; give ${allowed}`,
      {
        code: 'bad_option',
        option: 'broker',
        value: 'redis',
        allowed,
      },
    );
  }
}

/**
 * No timeout per command: a timer would cost more than the command. If the option is left out, the
 * library sets one; its types do not allow `undefined`.
 */
const NO_TIMEOUT = { timeout: undefined as unknown as number };

/** Creates a client that never reconnects. The caller must add an `error` listener. */
export function connection({ url }: Address, timeoutMs: number) {
  // The library caches the class of the last factory requested. `createClient` keys it by address, so
  // each other address rebuilds the class of all commands, which blocks the loop for 12 ms and more.
  const make = library().RedisClient.factory({ RESP: 2 });
  // The types only know the factory's `RESP`.
  const options = {
    url,
    RESP: 2 as const,
    disableOfflineQueue: true,
    disableClientInfo: true,
    maintNotifications: 'disabled' as const,
    commandOptions: NO_TIMEOUT,
    socket: { reconnectStrategy: false as const, connectTimeout: timeoutMs, keepAlive: true },
  };
  return make(options);
}

export interface LinkEvents {
  message(channel: string, text: string): void;
  /** Called once, with the cause. No pending or later call is answered. */
  end(cause: Error): void;
}

export class Link {
  /** Why the link ended: set by the first connection that ends, or by `end`. */
  #cause: Error | null = null;
  readonly #commands: Client;
  readonly #subscriptions: Client;
  readonly #events: LinkEvents;
  #term = '';
  /** The Redis clock minus `nowMs()`, in milliseconds, from the latest answer. */
  #clockOffset = 0;

  private constructor(address: Address, timeoutMs: number, events: LinkEvents) {
    this.#events = events;
    this.#commands = connection(address, timeoutMs);
    this.#subscriptions = connection(address, timeoutMs);
    for (const client of [this.#commands, this.#subscriptions]) {
      client.on('error', (error: Error) => this.end(error));
      client.on('end', () => this.end(new Error('the connection has ended')));
    }
  }

  /**
   * Connects, checks that the server is a suitable primary, loads the scripts and learns the term.
   * @throws Misconfigured, or Error if retrying may help
   */
  static async open(
    address: Address,
    keys: Keys,
    timeoutMs: number,
    events: LinkEvents,
    signal: AbortSignal,
  ): Promise<Link> {
    const link = new Link(address, timeoutMs, events);
    const giveUp = () => link.end(signal.reason as Error);
    // A server may accept a connection and never answer.
    const timer = setTimeout(
      () => link.end(new Error(`no answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      await link.#greet(keys);
      return link;
    } catch (error) {
      link.end(error as Error);
      const { message } = error as Error;
      if (message.startsWith('WRONGTYPE')) {
        throw new Misconfigured(
          `the key ${keys.term} does not belong to roomcast; choose another cluster name`,
        );
      }
      throw REFUSING.test(message) ? new Misconfigured(message) : error;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', giveUp);
    }
  }

  get isOpen(): boolean {
    return this.#cause === null;
  }

  /** Id of the primary's term, which every script compares. */
  get term(): string {
    return this.#term;
  }

  /** Converts a time of `nowMs()` to the Redis clock. */
  atRedis(ms: number): number {
    return Math.floor(ms + this.#clockOffset);
  }

  /** Updates the clock offset: Redis answered a call made at `askedAt` with its time `now`. */
  setClock(now: number, askedAt: number): void {
    this.#clockOffset = now - (askedAt + nowMs()) / 2;
  }

  /**
   * Runs a script. Calls are sent in the order they are made. @throws Error; unless it is an error
   * reply, the script may have run.
   */
  run(script: Script, keys: readonly string[], args: readonly string[]): Promise<Reply> {
    const counted = String(keys.length);
    return this.#command(['EVALSHA', script.sha, counted, ...keys, this.#term, ...args]);
  }

  /** Resolves when Redis has confirmed all of them. */
  async subscribe(channels: readonly string[]): Promise<void> {
    const done: Promise<void>[] = [];
    for (let next = 0; next < channels.length; next += CHANNELS_A_COMMAND) {
      const part = channels.slice(next, next + CHANNELS_A_COMMAND);
      done.push(this.#subscriptions.subscribe(part, this.#onMessage) as Promise<void>);
    }
    await this.#orEnd(Promise.all(done));
  }

  async unsubscribe(channels: readonly string[]): Promise<void> {
    await this.#orEnd(
      this.#subscriptions.unsubscribe([...channels], this.#onMessage) as Promise<void>,
    );
  }

  end(cause: Error): void {
    if (this.#cause !== null) return;
    this.#cause = cause;
    for (const client of [this.#commands, this.#subscriptions]) {
      if (client.isOpen) client.destroy();
    }
    this.#events.end(cause);
  }

  readonly #onMessage = (text: string, channel: string): void => {
    if (this.#cause === null) this.#events.message(channel, text);
  };

  #command(args: string[]): Promise<Reply> {
    return this.#orEnd(this.#commands.sendCommand<Reply>(args));
  }

  #orEnd<T>(answer: Promise<T>): Promise<T> {
    return answer.catch(this.#failed);
  }

  readonly #failed = (error: Error): never => {
    if (ENDING.test(error.message)) this.end(error);
    throw this.#cause ?? error;
  };

  async #greet(keys: Keys): Promise<void> {
    const servers = await Promise.all(
      [this.#commands, this.#subscriptions].map(async (client) => {
        await client.connect();
        return facts(String(await client.sendCommand(['INFO', 'server'])));
      }),
    );
    const [{ run_id: run = '', redis_version: version = '' }, other] = servers as [Facts, Facts];
    // A host name with two machines behind it, or a failover between the two connects.
    if (run !== other['run_id']) throw new Error('the two connections reached two servers');
    checkVersion(version);
    const role = (await this.#command(['ROLE'])) as readonly Reply[];
    if (role[0] !== 'master') throw new Error(`it is a ${role[0]}, not a primary`);
    for (const { text } of SCRIPTS) await this.#command(['SCRIPT', 'LOAD', text]);
    const fresh = randomBytes(8).toString('hex');
    await this.#checkRights(keys, fresh);
    this.#term = String(await this.#command(['EVALSHA', HELLO.sha, '1', keys.term, run, fresh]));
  }

  /** `nobody`: a name that no room and no node has. @throws Misconfigured */
  async #checkRights(keys: Keys, nobody: string): Promise<void> {
    const asked = keysOf(keys, nobody);
    const refused = (await this.#command([
      'EVALSHA',
      RIGHTS.sha,
      String(asked.length),
      ...asked,
    ])) as readonly string[];
    if (refused.length > 0) {
      throw new Misconfigured(`its user may not run ${refused.join(', ')} on ${keys.pattern}`);
    }
    const channels = channelsOf(keys, nobody);
    await this.subscribe(channels);
    await this.unsubscribe(channels);
  }

  /** A server setting; null if the server does not let us read it. */
  async setting(name: string): Promise<string | null> {
    try {
      const [, value] = (await this.#command(['CONFIG', 'GET', name])) as readonly string[];
      return value ?? null;
    } catch (error) {
      // Managed services forbid it, and an ACL may.
      if (this.#cause !== null) throw error;
      return null;
    }
  }
}

type Facts = Readonly<Record<string, string>>;

const facts = (info: string): Facts =>
  Object.fromEntries(
    info
      .split('\r\n')
      .map((line) => line.split(':') as [string, string])
      .filter((pair) => pair.length === 2),
  );

/** @throws Misconfigured */
function checkVersion(version: string): void {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [leastMajor, leastMinor] = LEAST_VERSION;
  if (major > leastMajor || (major === leastMajor && minor >= leastMinor)) return;
  throw new Misconfigured(
    `it is Redis ${version || 'of unknown version'}; ${leastMajor}.${leastMinor} or later is needed`,
  );
}
