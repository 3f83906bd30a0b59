/**
 * The event loop under a test's control: callbacks of `setImmediate` run one turn at a time, and
 * reading the clock may take as long as the test wants. Restored after the test.
 */
import { vi } from 'vitest';

export class Loop {
  readonly #due: (() => void)[] = [];
  readonly #now = performance.now;
  #spent = 0;

  /**
   * `onSchedule` is called when a callback is scheduled; `lookMs` is the duration of each
   * `performance.now()`.
   */
  constructor({
    onSchedule = () => {},
    lookMs = 0,
  }: { onSchedule?: () => void; lookMs?: number } = {}) {
    vi.stubGlobal('setImmediate', (run: () => void) => {
      this.#due.push(run);
      onSchedule();
    });
    const now = this.#now;
    performance.now = () => {
      this.#spent += lookMs;
      return now.call(performance) + this.#spent;
    };
  }

  /** Advances the clock, as work would. */
  spend(ms: number): void {
    this.#spent += ms;
  }

  get isIdle(): boolean {
    return this.#due.length === 0;
  }

  /** Runs the oldest due callback. */
  turn(): void {
    this.#due.shift()?.();
  }

  /** Runs until nothing is due. Returns the number of turns. */
  run(): number {
    let turns = 0;
    for (; !this.isIdle; turns += 1) this.turn();
    return turns;
  }

  restore(): void {
    performance.now = this.#now;
    vi.unstubAllGlobals();
  }
}
