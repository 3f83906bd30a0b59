/**
 * The timers and the clock of this server, captured when the module loads. A test program that fakes
 * the global ones (vitest, jest, sinon) can run this server in its process: deliveries, heartbeats
 * and `close()` still work. A lint rule bans the global ones from `src/`.
 *
 * V12: an error thrown by a callback ends only that call (`survived.ts`); an interval continues.
 *
 * Not here: `Date`, which is only displayed and never waited for, so that a faked `Date` shows in the `at`
 * of a message. Our own tests replace this module with virtual time (`test/support/virtual-time.ts`).
 */
import { performance } from 'node:perf_hooks';
import * as timers from 'node:timers';
import { survived } from './survived.js';

export { clearInterval, clearTimeout } from 'node:timers';

export const setTimeout = (callback: () => void, ms?: number): NodeJS.Timeout =>
  timers.setTimeout(survived(callback), ms);

export const setInterval = (callback: () => void, ms?: number): NodeJS.Timeout =>
  timers.setInterval(survived(callback), ms);

export const setImmediate = (callback: () => void): NodeJS.Immediate =>
  timers.setImmediate(survived(callback));

/** Milliseconds since the process started; monotonic. */
export const nowMs: () => number = performance.now.bind(performance);

const microtask: typeof globalThis.queueMicrotask = globalThis.queueMicrotask;
export const queueMicrotask = (callback: () => void): void => microtask(survived(callback));
