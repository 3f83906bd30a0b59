/**
 * How far a member is behind: healthy → lagging → shedding, and back. A state machine fed with
 * facts; it sends nothing and evicts nobody (`member.ts` does).
 */
import type { HealthState } from '../protocol/events.js';

/** What `check` judges; times in milliseconds. */
export interface Standing {
  readonly now: number;
  /** Age of the oldest undelivered message, 0 without one. */
  readonly lagMs: number;
  /** Every queue is under half of its bounds. */
  readonly isUnderHalf: boolean;
  readonly lagAfterMs: number;
  readonly recoverAfterMs: number;
}

export class Health {
  #state: HealthState = 'healthy';
  /** Since when all has been well, while the state is not yet `healthy`. */
  #calmSince: number | null = null;

  get state(): HealthState {
    return this.#state;
  }

  /** A message was dropped. True when that changed the state. */
  shed(): boolean {
    this.#calmSince = null;
    if (this.#state === 'shedding') return false;
    this.#state = 'shedding';
    return true;
  }

  /** True when the state changed. */
  check({ now, lagMs, isUnderHalf, lagAfterMs, recoverAfterMs }: Standing): boolean {
    const late = lagMs >= lagAfterMs;
    if (this.#state === 'healthy') {
      if (!late) return false;
      this.#state = 'lagging';
      return true;
    }
    if (late || !isUnderHalf) {
      this.#calmSince = null;
      return false;
    }
    this.#calmSince ??= now;
    if (now - this.#calmSince < recoverAfterMs) return false;
    this.#calmSince = null;
    this.#state = 'healthy';
    return true;
  }
}
