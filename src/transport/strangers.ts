/**
 * Counts requests for missing SockJS sessions. A session id of the usual client has 40 random bits,
 * which unlimited guessing would find in the end, so each network may miss `MAX_MISSES` times in
 * `WINDOW_MS`. V3: at most `MAX_NETWORKS` are remembered, the latest.
 *
 * Not here: refusing them (`sockjs.ts`).
 */
import { nowMs } from '../time.js';

const WINDOW_MS = 60_000;
const MAX_MISSES = 32;
const MAX_NETWORKS = 4096;

export class Strangers {
  /** By network, least recently missed first. */
  readonly #misses = new Map<string, { count: number; readonly until: number }>();

  missed(network: string): void {
    const known = this.#of(network) ?? { count: 0, until: nowMs() + WINDOW_MS };
    known.count += 1;
    this.#misses.delete(network);
    this.#misses.set(network, known);
    if (this.#misses.size <= MAX_NETWORKS) return;
    for (const [oldest] of this.#misses) {
      this.#misses.delete(oldest);
      return;
    }
  }

  isGuessing(network: string): boolean {
    return (this.#of(network)?.count ?? 0) >= MAX_MISSES;
  }

  #of(network: string): { count: number; readonly until: number } | undefined {
    const known = this.#misses.get(network);
    return known !== undefined && known.until > nowMs() ? known : undefined;
  }
}
