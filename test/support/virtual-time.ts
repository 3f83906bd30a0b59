/**
 * In tests the time of `src/` is that of the globals, so that `vi.useFakeTimers()` rules it.
 * `test/time.test.ts` runs the built server, which has not got this, under fake timers.
 *
 * A mistake that a server would survive fails the run, unless the test has planned it.
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
