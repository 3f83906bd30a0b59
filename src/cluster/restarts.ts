/**
 * Restart back-off per slot: at once after a long life; with growing delays after short ones, or if the
 * machine refuses a process.
 */
import { clearTimeout, nowMs, setTimeout } from '../time.js';

/** Delays between an early crash and the next start, in milliseconds. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;
/** A worker that has lived this long is replaced at once, in milliseconds. */
const STEADY_MS = 10_000;

export class Restarts {
  readonly #start: (slot: number) => void;
  /** By slot: delay before the next start after a short life. */
  readonly #pauses: number[];
  readonly #timers = new Set<NodeJS.Timeout>();

  constructor(slots: number, start: (slot: number) => void) {
    this.#start = start;
    this.#pauses = Array.from({ length: slots }, () => 0);
  }

  /** Schedules the restart of a slot. `since`: when the ended worker started. */
  after({ slot, since }: { readonly slot: number; readonly since: number }): void {
    const before = this.#pauses[slot] ?? 0;
    const isSteady = nowMs() - since >= STEADY_MS;
    this.#pauses[slot] = isSteady
      ? FIRST_PAUSE_MS
      : Math.min(2 * before || FIRST_PAUSE_MS, LONGEST_PAUSE_MS);
    const timer = setTimeout(
      () => {
        this.#timers.delete(timer);
        this.#start(slot);
      },
      isSteady ? 0 : before,
    );
    this.#timers.add(timer);
  }

  /** Cancels all scheduled restarts. */
  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }
}
