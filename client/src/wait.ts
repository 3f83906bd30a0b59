/** Whatever is waited for has an owner, a deadline or a signal, and is taken back by each of them. */
import { RoomcastError } from './errors.js';

import { LONGEST_MS } from './limits.js';
import type { Shared } from './shared.js';

export type Timer = ReturnType<typeof setTimeout>;
export const later = (fn: () => void, ms: number): Timer =>
  setTimeout(fn, Math.min(ms, LONGEST_MS));

/** Calls `fn` once the signal aborts, or has. Returns what takes it back. */
export function onAbort(signal: AbortSignal | undefined, fn: () => void): () => void {
  if (signal?.aborted) fn();
  else signal?.addEventListener('abort', fn);
  return () => signal?.removeEventListener('abort', fn);
}

/** '' for success; `about` goes into the error. */
export type Settle<T> = (code: string, value?: T, about?: object) => void;

/**
 * A promise that is settled from outside, by its signal, or since the client is closed. `over` is
 * called before. One that nobody looks at may not end the process when it is rejected.
 */
export function deferred<T>(
  shared: Shared,
  room: string | undefined,
  signal: AbortSignal | undefined,
  over: (code: string, settle: Settle<T>) => void,
): readonly [promise: Promise<T>, settle: Settle<T>, isOver: boolean] {
  const { closed } = shared;
  let settle: Settle<T> = () => {};
  let off: (() => void) | undefined;
  const promise = new Promise<T>((resolve, reject) => {
    settle = (code, value, about) => {
      off?.();
      over(code, settle);
      if (code) reject(new RoomcastError(code, { room, ...about }));
      else resolve(value as T);
    };
  });
  promise.catch(() => {});
  if (closed) settle(closed.code, undefined, closed);
  else off = onAbort(signal, () => settle('aborted'));
  return [promise, settle, !!(closed || signal?.aborted)];
}
