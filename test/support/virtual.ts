/** A core in a virtual world: time passes and turns of the loop come only when the test says so. */
import { onTestFinished, vi } from 'vitest';
import { Core, type CoreOptions } from './core.js';
import { Loop } from './loop.js';

/** Timers and clocks only move when advanced; microtasks and immediates are not affected. */
export function freezeClocks(): void {
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date', 'performance'],
  });
}

export interface Virtual {
  readonly core: Core;
  readonly loop: Loop;
  /** Lets promises settle and the loop run until nothing is left to do. */
  settle(): Promise<void>;
  /** The same after each step of time; 10 ms is finer than any interval here. */
  pass(ms: number): Promise<void>;
}

/** Closed after the test, which fails if a peer received anything it must not. */
export function startCore(options: CoreOptions = {}): Virtual {
  const world = openCore(options);
  onTestFinished(async () => {
    await world.close();
    vi.useRealTimers();
    vi.restoreAllMocks();
  });
  return world;
}

/** The same for several in one test: close each before opening the next. */
export function openCore(options: CoreOptions = {}): Virtual & { close(): Promise<void> } {
  freezeClocks();
  const loop = new Loop();
  const core = new Core(options);
  const settle = async () => {
    do {
      await vi.advanceTimersByTimeAsync(0);
    } while (loop.run() > 0);
  };
  return {
    core,
    loop,
    settle,
    async pass(ms) {
      for (let passed = 0; passed < ms; passed += 10) {
        await vi.advanceTimersByTimeAsync(Math.min(10, ms - passed));
        await settle();
      }
    },
    async close() {
      const closed = core.hub.close(0);
      await vi.advanceTimersByTimeAsync(1);
      await closed;
      core.restore();
      loop.restore();
      if (core.failures.length > 0) throw core.failures[0];
    },
  };
}
