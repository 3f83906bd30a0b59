/**
 * Which Redis is connected to: the one that the URL names, or the one that the Sentinels name, and whether it
 * is set up so that it keeps what it is given.
 *
 * Not here: how Sentinels are asked (`sentinels.ts`), the life of a link (`redis.ts`).
 */
import { parseRedisUrl, type RedisPlace } from '../../options/redis-url.js';
import type { Link } from './link.js';
import { askSentinels } from './sentinels.js';

export class Primary {
  readonly #place: RedisPlace;
  readonly #timeoutMs: number;

  /** @throws TypeError for a URL that is none */
  constructor(url: string, timeoutMs: number) {
    const place = parseRedisUrl(url);
    if (place === null) throw new TypeError('this is no address of a Redis');
    this.#place = place;
    this.#timeoutMs = timeoutMs;
  }

  /** There is another one soon where it fails. */
  get hasSentinels(): boolean {
    return this.#place.url === null;
  }

  /** Its URL. Rejects where the Sentinels do not say it. */
  async locate(signal: AbortSignal): Promise<string> {
    return this.#place.url ?? (await askSentinels(this.#place, this.#timeoutMs, signal)).url;
  }

  /** Most Sentinels name another one. It may not know it, and takes what will be thrown away. */
  async isLeft(url: string, signal: AbortSignal): Promise<boolean> {
    if (this.#place.url !== null) return false;
    try {
      const named = await askSentinels(this.#place, this.#timeoutMs, signal);
      return named.isAgreed && named.url !== url;
    } catch {
      // Who cannot be asked says nothing against it.
      return false;
    }
  }

  /** What of its settings is a risk. Rejects where the link ends. */
  async advice(link: Link): Promise<string[]> {
    const advice: string[] = [];
    const policy = await link.setting('maxmemory-policy');
    if (policy !== null && policy !== 'noeviction') {
      advice.push(
        `Redis has maxmemory-policy ${policy}: it may forget rooms, whose members get a reset; set noeviction`,
      );
    }
    if (this.hasSentinels && (await link.setting('min-replicas-to-write')) === '0') {
      advice.push(
        'Redis has min-replicas-to-write 0: a primary that is cut off goes on taking messages that will be lost; set 1',
      );
    }
    return advice;
  }
}
