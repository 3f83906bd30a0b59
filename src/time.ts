/**
 * The timers and the clock of this server, taken once, when it is loaded. A program whose tests fake
 * the global ones (vitest, jest, sinon) can hold this server in its process: deliveries, heartbeats
 * and `close()` go on. A lint keeps the global ones out of `src/`.
 *
 * Not here: `Date`, which is only printed and never waited for, so that faking it shows in the `at`
 * of a message. Our own tests put virtual time in the place of this module
 * (`test/support/virtual-time.ts`).
 */
import { performance } from 'node:perf_hooks';

export {
  clearInterval,
  clearTimeout,
  setImmediate,
  setInterval,
  setTimeout,
} from 'node:timers';

/** Milliseconds since the process started; it never goes back. */
export const nowMs: () => number = performance.now.bind(performance);

export const queueMicrotask: typeof globalThis.queueMicrotask = globalThis.queueMicrotask;
