/** What follows from each close code: a table, apart from the one who acts on it. */

import { LEAST_MS, LEAST_PAUSE_MS, STRIKES, WITHIN_MS } from './limits.js';

/**
 * How long to wait: `isLeast`, with a pause of full jitter where that is longer; exactly, without; or
 * for ever.
 *
 * `code`: of the close frame or of `closing` before it, or a word where the client gave up. `times`:
 * how often in a row. `isAnswered`: whether the server had answered anything on this connection.
 */
export function waitAfter(
  code: number | string,
  retryAfterMs: number | undefined,
  times: number,
  isAnswered: boolean | undefined,
  random: () => number,
): readonly [ms: number, isLeast?: boolean] {
  const is = (codes: RegExp) => codes.test(`${code}`);
  // What is no number was not said.
  const saidOr = (ms: number) => Math.max(LEAST_PAUSE_MS, retryAfterMs as number) || ms;
  // With another token. The heartbeat was missed.
  if (times < 2 && is(/^4[02]01/)) return [0];
  if (
    // Not 4009: the publish is refused, and not sent again.
    is(/^40(?!09)/) &&
    // The first frame was late, or it made no sense; an answer proves that it was there.
    (code !== 4000 || isAnswered) &&
    // Something on the way mangles frames, now and then or always.
    (code !== 4013 || times >= STRIKES)
  ) {
    return [1 / 0];
  }
  // A server that goes draws a time for each of its clients; where it could not say so, they do.
  const unsaid = is(/^42(?!01)/) ? random() * WITHIN_MS : is(/^410[034]/) ? LEAST_MS : 0;
  return [saidOr(unsaid), true];
}
