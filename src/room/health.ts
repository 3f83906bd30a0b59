/**
 * Health of one member: healthy → lagging → shedding, and back. A pure state machine: it sends nothing
 * and evicts no member (`member.ts` does).
 */
import type { HealthState } from '../protocol/events.js';

/** Input of `check`; times in milliseconds. */
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
  /** When the recovery began, while the state is not yet `healthy`. */
  #calmSince: number | null = null;

  get state(): HealthState {
    return this.#state;
  }

  /** A message was dropped. Returns whether the state changed. */
  shed(): boolean {
    this.#calmSince = null;
    if (this.#state === 'shedding') return false;
    this.#state = 'shedding';
    return true;
  }

  /** Returns whether the state changed. */
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
