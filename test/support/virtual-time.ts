/**
 * In tests `src/` uses the global timers, so that `vi.useFakeTimers()` controls its time.
 * `test/time.test.ts` runs the built server, which does not use this, under fake timers.
 *
 * An error that a server would survive fails the run, unless the test has planned it.
 */
import { vi } from 'vitest';
import { onSurvived } from '../../src/survived.js';
import { PlannedError } from './planned-error.js';

vi.mock('../../src/time.js', async () => {
  const { survived } = await import('../../src/survived.js');
  return {
    setTimeout: (callback: () => void, ms?: number) => setTimeout(survived(callback), ms),
    setInterval: (callback: () => void, ms?: number) => setInterval(survived(callback), ms),
    setImmediate: (callback: () => void) => setImmediate(survived(callback)),
    clearTimeout: (timer: NodeJS.Timeout) => clearTimeout(timer),
    clearInterval: (timer: NodeJS.Timeout) => clearInterval(timer),
    queueMicrotask: (callback: () => void) => queueMicrotask(survived(callback)),
    nowMs: () => performance.now(),
  };
});

onSurvived((error) => {
  if (!(error instanceof PlannedError)) void Promise.reject(error);
});
