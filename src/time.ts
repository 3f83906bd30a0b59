/**
 * The timers and the clock of this server, taken once, when it is loaded. A program whose tests fake
 * the global ones (vitest, jest, sinon) can hold this server in its process: deliveries, heartbeats
 * and `close()` go on. A lint keeps the global ones out of `src/`.
 *
 * V12: what a callback throws ends nothing but the call (`survived.ts`): the next comes as if it had
 * not been.
 *
 * Not here: `Date`, which is only printed and never waited for, so that faking it shows in the `at`
 * of a message. Our own tests put virtual time in the place of this module
 * (`test/support/virtual-time.ts`).
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

/** Milliseconds since the process started; it never goes back. */
export const nowMs: () => number = performance.now.bind(performance);

const microtask: typeof globalThis.queueMicrotask = globalThis.queueMicrotask;
export const queueMicrotask = (callback: () => void): void => microtask(survived(callback));
