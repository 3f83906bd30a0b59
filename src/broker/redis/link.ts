/**
 * One life of the connections to a Redis primary: one for commands, one for subscriptions, which end
 * together. V22: nothing here reconnects, resends or subscribes again; when a link has ended, so has
 * all that was asked of it, and whether a command that got no answer was carried out is unknown.
 *
 * V20: a link greets the server with its `run_id` before anything else and learns the term, which every
 * script carries. A link ends with the error `TERM` of a server in another term, and with each error
 * that says this is no primary (`READONLY`, `LOADING`, `NOSCRIPT`, `MASTERDOWN`).
 *
 * Not here: when another link is made (`redis.ts`), whether it is alive (`ticks.ts`).
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

/** Where a primary is, and how to speak to it. */
export interface Address {
  /** `redis://` or `rediss://`, with user and password where they are needed. */
  readonly url: string;
}

type Client = ReturnType<typeof connection>;
export type Reply = string | number | null | readonly Reply[];

/** A cause that the operator has to see to: trying again soon is of no use, and it is said once. */
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
/** Errors after which the server is not the primary of our term, or has forgotten our scripts. */
const ENDING = new RegExp(`^(${TERM_ENDED}|READONLY|LOADING|NOSCRIPT|MASTERDOWN)\\b`);
/** Errors of a Redis that refuses for lack of rights or a password; no retry mends them. */
const REFUSING =
  /^(NOAUTH|WRONGPASS|NOPERM|ERR invalid password|ERR Client sent AUTH|ERR ACL failure)/;
/** Channels in one SUBSCRIBE: each is confirmed by a push of its own. */
const CHANNELS_A_COMMAND = 512;

let loaded: typeof Library | null = null;

/** @throws ConfigError where the library is not installed. Its types stay here: an app without it compiles against ours. */
export function needLibrary(): void {
  library();
}

/** Installed beside roomcast by those who use it. */
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
 * A timer for each command would cost more than the command. Left out, the library sets one; its types
 * do not know `undefined`.
 */
const NO_TIMEOUT = { timeout: undefined as unknown as number };

/** One that never connects again; it is to be given a listener for errors. */
export function connection({ url }: Address, timeoutMs: number) {
  // The library keeps the class of the last factory that it was asked for. `createClient` asks by address, and the class
  // of all commands is made anew for each other one, which holds the loop for 12 ms and more.
  const make = library().RedisClient.factory({ RESP: 2 });
  // The types know `RESP` of the factory only.
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
  /** Once, with the cause; no call gets an answer from then on. */
  end(cause: Error): void;
}

export class Link {
  /** Set by the first of the two connections that ends, or by `end`. */
  #cause: Error | null = null;
  readonly #commands: Client;
  readonly #subscriptions: Client;
  readonly #events: LinkEvents;
  #term = '';
  /** Milliseconds of the clock of Redis at `nowMs()` 0, as the latest answers have it. */
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
   * Connects, makes sure that it speaks to a primary that will do, loads the scripts and learns the term.
   * @throws Misconfigured, or Error where trying again may help
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
    // It may accept a connection and say nothing.
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
        throw new Misconfigured(`${keys.term} there is not of roomcast; give another cluster name`);
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

  /** What makes the epochs of this primary's reign its own. */
  get term(): string {
    return this.#term;
  }

  /** A moment by `nowMs()`, by the clock of Redis. */
  atRedis(ms: number): number {
    return Math.floor(ms + this.#clockOffset);
  }

  /** Redis said that it was `now` there, in the answer to what was asked at `askedAt`. */
  setClock(now: number, askedAt: number): void {
    this.#clockOffset = now - (askedAt + nowMs()) / 2;
  }

  /** Calls leave in the order they are made. @throws Error, after which it may have been carried out unless it is an answer. */
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
    // A name with two machines behind it, or a failover between the two.
    if (run !== other['run_id']) throw new Error('the two connections reached two servers');
    checkVersion(version);
    const role = (await this.#command(['ROLE'])) as readonly Reply[];
    if (role[0] !== 'master') throw new Error(`it is a ${role[0]}, no primary`);
    for (const { text } of SCRIPTS) await this.#command(['SCRIPT', 'LOAD', text]);
    const fresh = randomBytes(8).toString('hex');
    await this.#checkRights(keys, fresh);
    this.#term = String(await this.#command(['EVALSHA', HELLO.sha, '1', keys.term, run, fresh]));
  }

  /** `nobody`: no room and no node has the name. @throws Misconfigured */
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

  /** Values of the server's own, where it lets us read them: null where it does not. */
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
    `it is Redis ${version || 'of no known version'}; ${leastMajor}.${leastMinor} or later is needed`,
  );
}
