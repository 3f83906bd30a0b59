/** A rate limit: `rate` a second, with a burst of one second's worth. */
import { nowMs } from './time.js';
export class TokenBucket {
  readonly #rate: number;
  #tokens: number;
  #filledAt = nowMs();

  /** `rate` 0 lets everything through. */
  constructor(rate: number) {
    this.#rate = rate;
    this.#tokens = Math.max(1, rate);
  }

  take(): boolean {
    if (this.#rate === 0) return true;
    const now = nowMs();
    const full = Math.max(1, this.#rate);
    this.#tokens = Math.min(full, this.#tokens + ((now - this.#filledAt) / 1000) * this.#rate);
    this.#filledAt = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
