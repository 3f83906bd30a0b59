/**
 * Keys that somebody else publishes (JWKS): looked at from time to time, and kept while they cannot be
 * reached. jose has such a set, but it makes who comes wait for it, and is without keys in an outage.
 *
 * V16: an outage delays nobody that has a token of a known key, and is never told as a wrong token: what
 * none of the keys has signed may be of one that was put there a moment ago, and is wrong only by a look that
 * was begun after it came. What peers send makes it be looked at once in `COOLDOWN_MS`, whether that works
 * or not. A set takes the place of the one before whole, so that
 * a key that was taken out is out; using a key does not keep it.
 *
 * Not here: one look (`jwks-fetch.ts`).
 */
import { Refusal } from '../errors.js';
import type { Log } from '../log.js';
import type { Config } from '../options/config.js';
import { clearTimeout, nowMs, setTimeout } from '../time.js';
import { fetchKeys } from './jwks-fetch.js';
import { fits, isOfPublicKey, type Key, type KeyHint } from './keys.js';
import type { Keys } from './tokens.js';

/** Between two looks that peers have caused, in milliseconds. */
const COOLDOWN_MS = 30_000;
/** Before the first try after a failure, doubled with each, in milliseconds. */
const RETRY_MS = 1000;
const MAX_RETRY_MS = 30_000;
/** How much sooner or later than `jwksRefreshMs`, so that servers do not come together. */
const JITTER = 0.1;

export class Jwks implements Keys {
  readonly #config: Config;
  readonly #log: Pick<Log, 'info' | 'warn'>;
  readonly #fetched: (isOk: boolean) => void;
  readonly #ended = new AbortController();
  #keys: readonly Key[] = [];
  /** By `nowMs()`. */
  #fetchedAt = Number.NEGATIVE_INFINITY;
  /** Since when it cannot be reached, null while it can. */
  #failingSince: number | null = null;
  #failures = 0;
  /** When a peer may cause a look again. */
  #coolAt = Number.NEGATIVE_INFINITY;
  /** How many were begun, and which of them the keys are of. */
  #looks = 0;
  #latest = 0;
  /** The look under way. */
  #look: Promise<boolean> | null = null;
  #timer: NodeJS.Timeout | undefined;

  /** `fetched` is told of each look, whether it came to anything. */
  constructor(config: Config, log: Pick<Log, 'info' | 'warn'>, fetched: (isOk: boolean) => void) {
    this.#config = config;
    this.#log = log;
    this.#fetched = fetched;
    void this.#refresh();
  }

  /** Whether there are keys to check tokens with. */
  get isUsable(): boolean {
    if (this.#keys.length === 0) return false;
    return this.#failingSince === null || nowMs() - this.#failingSince < this.#config.jwksStaleMs;
  }

  /** How old the keys are, in milliseconds; infinite while there are none. */
  get ageMs(): number {
    return nowMs() - this.#fetchedAt;
  }

  async *candidates(hint: KeyHint): AsyncGenerator<Key> {
    if (!isOfPublicKey(hint.alg)) return;
    const before = this.#looks;
    let tried: readonly Key[] = [];
    for (;;) {
      // They may be others by the time that they were tried.
      while (this.isUsable && tried !== this.#keys) {
        tried = this.#keys;
        yield* tried.filter((key) => fits(key, hint));
      }
      if (this.#latest > before) return;
      if (!(await this.#lookFor())) {
        throw new Refusal(
          'keys_unavailable',
          'The key of the token is not known, and cannot be asked for now; come back later.',
        );
      }
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#ended.abort(new Error('the server is shutting down'));
  }

  /** A look for a peer: the one under way, or a new one where that may be. False: there was none, or it failed. */
  #lookFor(): Promise<boolean> {
    if (this.#look !== null) return this.#look;
    return nowMs() < this.#coolAt ? Promise.resolve(false) : this.#refresh();
  }

  #refresh(): Promise<boolean> {
    clearTimeout(this.#timer);
    this.#coolAt = nowMs() + COOLDOWN_MS;
    this.#look = this.#fetch().finally(() => {
      this.#look = null;
      if (this.#ended.signal.aborted) return;
      this.#timer = setTimeout(() => void this.#refresh(), this.#nextMs()).unref();
    });
    return this.#look;
  }

  #nextMs(): number {
    const { jwksRefreshMs } = this.#config;
    const ms =
      this.#failures === 0
        ? jwksRefreshMs
        : Math.min(jwksRefreshMs, MAX_RETRY_MS, RETRY_MS * 2 ** (this.#failures - 1));
    return ms * (1 - JITTER + 2 * JITTER * Math.random());
  }

  async #fetch(): Promise<boolean> {
    const { jwksUrl: url } = this.#config;
    this.#looks += 1;
    const look = this.#looks;
    try {
      const keys = await fetchKeys(url, this.#ended.signal);
      if (this.#failures > 0) this.#log.info({ url }, 'the keys of tokens can be fetched again');
      this.#keys = keys;
      this.#latest = look;
      this.#fetchedAt = nowMs();
      this.#failingSince = null;
      this.#failures = 0;
      this.#fetched(true);
      return true;
    } catch (error) {
      if (this.#ended.signal.aborted) return false;
      this.#failingSince ??= nowMs();
      this.#failures += 1;
      this.#fetched(false);
      // Tries follow each other more and more slowly: a line each.
      this.#log.warn(
        { url, why: (error as Error).message, keys: this.#keys.length },
        'the keys of tokens cannot be fetched',
      );
      return false;
    }
  }
}
