/** A wait with a timeout that also ends when the caller's signal is aborted (V8). */
import { clearTimeout, setTimeout } from '../time.js';

/**
 * Returns the result of `ask`. Rejects with `late()` after `ms`, or with the reason of `signal` when it is
 * aborted. The signal passed to `ask` is then aborted too, and a later result is ignored.
 */
export async function within<T>(
  ms: number,
  signal: AbortSignal,
  ask: (signal: AbortSignal) => T | Promise<T>,
  late: () => Error,
): Promise<T> {
  const asked = new AbortController();
  const give = () => asked.abort(signal.reason);
  signal.addEventListener('abort', give, { once: true });
  const timer = setTimeout(() => asked.abort(late()), ms);
  try {
    const over = new Promise<never>((_, reject) => {
      asked.signal.addEventListener('abort', () => reject(asked.signal.reason), { once: true });
    });
    if (signal.aborted) give();
    return await Promise.race([ask(asked.signal), over]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', give);
  }
}
