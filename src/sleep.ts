/** A delay that a shutdown can cut short (V8). It uses the timers of `time.ts`. */
import { clearTimeout, setTimeout } from './time.js';

/** Resolves after `ms` milliseconds, or as soon as `signal` is aborted. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const wake = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', wake);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    signal?.addEventListener('abort', wake);
  });
}
