/**
 * Timers, abort signals and promises. Every wait has an owner, a deadline or a signal, and any of them
 * cancels it.
 */
import { RoomcastError } from './errors.js';

import { LONGEST_MS } from './limits.js';
import type { Shared } from './shared.js';

export type Timer = ReturnType<typeof setTimeout>;
export const later = (fn: () => void, ms: number): Timer =>
  setTimeout(fn, Math.min(ms, LONGEST_MS));

/** Calls `fn` once the signal aborts, at once if it already has. Returns a function that cancels it. */
export function onAbort(signal: AbortSignal | undefined, fn: () => void): () => void {
  if (signal?.aborted) fn();
  else signal?.addEventListener('abort', fn);
  return () => signal?.removeEventListener('abort', fn);
}

/** Settles the promise. `code` is '' for success. `about` is added to the error. */
export type Settle<T> = (code: string, value?: T, about?: object) => void;

/**
 * A promise that is settled from outside, by its signal, or at once if the client is closed. `over` is
 * called before it settles. An unhandled rejection must not end the process.
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
