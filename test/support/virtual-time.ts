/**
 * In tests the time of `src/` is that of the globals, so that `vi.useFakeTimers()` rules it.
 * `test/time.test.ts` runs the built server, which has not got this, under fake timers.
 */
import { vi } from 'vitest';

vi.mock('../../src/time.js', () => ({
  setTimeout: (...args: Parameters<typeof setTimeout>) => setTimeout(...args),
  setInterval: (...args: Parameters<typeof setInterval>) => setInterval(...args),
  setImmediate: (...args: Parameters<typeof setImmediate>) => setImmediate(...args),
  clearTimeout: (timer: NodeJS.Timeout) => clearTimeout(timer),
  clearInterval: (timer: NodeJS.Timeout) => clearInterval(timer),
  queueMicrotask: (callback: () => void) => queueMicrotask(callback),
  nowMs: () => performance.now(),
}));
