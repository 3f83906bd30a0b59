/** A wait that somebody else may never end: it has a deadline, and goes with who waits (V8). */
import { clearTimeout, setTimeout } from '../time.js';

/**
 * What `ask` comes to, or what `late` says when that is not there within `ms`, or the reason of
 * `signal`. What it is given is aborted then, and nobody hears of what it comes to afterwards.
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
