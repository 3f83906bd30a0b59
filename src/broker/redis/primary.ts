/**
 * Finds the Redis server to connect to: the one in the URL, or the one that the Sentinels name. Also
 * checks its settings for risks of losing data.
 *
 * Not here: querying Sentinels (`sentinels.ts`), the lifecycle of links (`redis.ts`).
 */
import { parseRedisUrl, type RedisPlace } from '../../options/redis-url.js';
import type { Link } from './link.js';
import { askSentinels } from './sentinels.js';

export class Primary {
  readonly #place: RedisPlace;
  readonly #timeoutMs: number;

  /** @throws TypeError for an invalid URL */
  constructor(url: string, timeoutMs: number) {
    const place = parseRedisUrl(url);
    if (place === null) throw new TypeError('this is not the address of a Redis server');
    this.#place = place;
    this.#timeoutMs = timeoutMs;
  }

  /** True if a failover can replace the primary. */
  get hasSentinels(): boolean {
    return this.#place.url === null;
  }

  /** URL of the primary. Rejects if the Sentinels do not name one. */
  async locate(signal: AbortSignal): Promise<string> {
    return this.#place.url ?? (await askSentinels(this.#place, this.#timeoutMs, signal)).url;
  }

  /**
   * True if most Sentinels name another primary. The old one may not know it yet, and accepts writes
   * that will be discarded.
   */
  async isLeft(url: string, signal: AbortSignal): Promise<boolean> {
    if (this.#place.url !== null) return false;
    try {
      const named = await askSentinels(this.#place, this.#timeoutMs, signal);
      return named.isAgreed && named.url !== url;
    } catch {
      // Unreachable Sentinels are no evidence against it.
      return false;
    }
  }

  /** Describes risky settings. Rejects if the link ends. */
  async advice(link: Link): Promise<string[]> {
    const advice: string[] = [];
    const policy = await link.setting('maxmemory-policy');
    if (policy !== null && policy !== 'noeviction') {
      advice.push(
        `Redis has maxmemory-policy ${policy}: it may evict rooms, and their members then get a reset; set noeviction`,
      );
    }
    if (this.hasSentinels && (await link.setting('min-replicas-to-write')) === '0') {
      advice.push(
        'Redis has min-replicas-to-write 0: an isolated primary keeps accepting messages that will be lost; set 1',
      );
    }
    return advice;
  }
}
