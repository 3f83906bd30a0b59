/** A wait for nothing but time, which a shutdown may cut short (V8). It holds what `time.ts` says. */
import { clearTimeout, setTimeout } from './time.js';

/** Resolves after so many milliseconds, or as soon as `signal` is aborted. */
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
