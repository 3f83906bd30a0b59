/**
 * When a slot whose worker has ended gets another: at once after a long life, later and later after short
 * ones, and where the machine gave no process at all.
 */
import { clearTimeout, nowMs, setTimeout } from '../time.js';

/** Of the back-off between a crash soon after the start and the next start. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;
/** A worker that has lived so long is started anew at once. */
const STEADY_MS = 10_000;

export class Restarts {
  readonly #start: (slot: number) => void;
  /** By slot: before the next start after a short life. */
  readonly #pauses: number[];
  readonly #timers = new Set<NodeJS.Timeout>();

  constructor(slots: number, start: (slot: number) => void) {
    this.#start = start;
    this.#pauses = Array.from({ length: slots }, () => 0);
  }

  /** `since`: when the one that has ended began. */
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

  /** Nothing is started any more. */
  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }
}
