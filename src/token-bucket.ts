/** A rate limit: `rate` per second, with a burst. */
import { nowMs } from './time.js';
export class TokenBucket {
  readonly #rate: number;
  readonly #full: number;
  #tokens: number;
  #filledAt = nowMs();

  /** `rate` 0: no limit. `burst`: how many may pass at once; default: one second's worth. */
  constructor(rate: number, burst = Math.max(1, rate)) {
    this.#rate = rate;
    this.#full = burst;
    this.#tokens = burst;
  }

  take(): boolean {
    if (this.#rate === 0) return true;
    const now = nowMs();
    this.#tokens = Math.min(
      this.#full,
      this.#tokens + ((now - this.#filledAt) / 1000) * this.#rate,
    );
    this.#filledAt = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
