/**
 * Keys published by another server (JWKS): refreshed periodically, and kept while that server is
 * unreachable. jose's own set makes a connection wait for the fetch, and has no keys during an outage.
 *
 * V16: an outage does not delay a token of a known key, and is never reported as a wrong token. A token that
 * no key has signed may use a key that was published a moment ago; it counts as wrong only after a fetch
 * that began later than the token arrived. Tokens of peers can cause only one fetch per `COOLDOWN_MS`,
 * successful or not. A new set replaces the old one completely, so that a removed key is gone; using a key
 * does not keep it.
 *
 * Not here: a single fetch (`jwks-fetch.ts`).
 */
import { Refusal } from '../errors.js';
import type { Log } from '../log.js';
import type { Config } from '../options/config.js';
import { clearTimeout, nowMs, setTimeout } from '../time.js';
import { fetchKeys } from './jwks-fetch.js';
import { fits, isOfPublicKey, type Key, type KeyHint } from './keys.js';
import type { Keys } from './tokens.js';

/** Minimum milliseconds between two fetches caused by peers. */
const COOLDOWN_MS = 30_000;
/** Delay before the first retry after a failure, in milliseconds; it doubles with each failure. */
const RETRY_MS = 1000;
const MAX_RETRY_MS = 30_000;
/** Random deviation from `jwksRefreshMs`, so that servers do not fetch at the same time. */
const JITTER = 0.1;

export class Jwks implements Keys {
  readonly #config: Config;
  readonly #log: Pick<Log, 'info' | 'warn'>;
  readonly #fetched: (isOk: boolean) => void;
  readonly #ended = new AbortController();
  #keys: readonly Key[] = [];
  /** By `nowMs()`. */
  #fetchedAt = Number.NEGATIVE_INFINITY;
  /** Since when fetching has failed; null while it succeeds. */
  #failingSince: number | null = null;
  #failures = 0;
  /** When a peer may next cause a fetch. */
  #coolAt = Number.NEGATIVE_INFINITY;
  /** Number of fetches begun, and the number of the fetch that returned the current keys. */
  #looks = 0;
  #latest = 0;
  /** The fetch in progress. */
  #look: Promise<boolean> | null = null;
  #timer: NodeJS.Timeout | undefined;

  /** `fetched` is called after each fetch with its success. */
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

  /** Age of the keys in milliseconds; infinite while there are none. */
  get ageMs(): number {
    return nowMs() - this.#fetchedAt;
  }

  async *candidates(hint: KeyHint): AsyncGenerator<Key> {
    if (!isOfPublicKey(hint.alg)) return;
    const before = this.#looks;
    let tried: readonly Key[] = [];
    for (;;) {
      // The set may have been replaced while its keys were tried.
      while (this.isUsable && tried !== this.#keys) {
        tried = this.#keys;
        yield* tried.filter((key) => fits(key, hint));
      }
      if (this.#latest > before) return;
      if (!(await this.#lookFor())) {
        throw new Refusal(
          'keys_unavailable',
          'The key of the token is unknown, and new keys cannot be fetched now; try again later.',
        );
      }
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#ended.abort(new Error('the server is shutting down'));
  }

  /** The fetch in progress, or a new one if the cooldown allows it. False: no fetch, or it failed. */
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
      if (this.#failures > 0) this.#log.info({ url }, 'token keys can be fetched again');
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
      // Logged each time: the retries become slower and slower.
      this.#log.warn(
        { url, why: (error as Error).message, keys: this.#keys.length },
        'cannot fetch the token keys',
      );
      return false;
    }
  }
}
