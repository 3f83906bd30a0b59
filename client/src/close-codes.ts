/** How long the client waits after each close code. Acting on it is in `client.ts`. */

import { LEAST_MS, LEAST_PAUSE_MS, STRIKES, WITHIN_MS } from './limits.js';

/**
 * Returns the wait before the next attempt. With `isLeast` it is a minimum: the client waits for the
 * longer of it and the backoff pause. Without, the client waits exactly that long. Infinity means never.
 *
 * `code`: of the close frame or of `closing` before it, or a word if the client ended the connection.
 * `times`: consecutive closes with this code. `isAnswered`: whether the server had answered a command on
 * this connection.
 */
export function waitAfter(
  code: number | string,
  retryAfterMs: number | undefined,
  times: number,
  isAnswered: boolean | undefined,
  random: () => number,
): readonly [ms: number, isLeast?: boolean] {
  const is = (codes: RegExp) => codes.test(`${code}`);
  // NaN without a numeric `retryAfterMs`.
  const saidOr = (ms: number) => Math.max(LEAST_PAUSE_MS, retryAfterMs as number) || ms;
  // 4001: retry with another token. 4201: heartbeat missed.
  if (times < 2 && is(/^4[02]01/)) return [0];
  if (
    // Except 4009: the publish is rejected and not sent again.
    is(/^40(?!09)/) &&
    // 4000 means that the first frame was late or invalid. An answer proves that it arrived.
    (code !== 4000 || isAnswered) &&
    // 4013 is retried a few times: a proxy on the path may corrupt frames only now and then.
    (code !== 4013 || times >= STRIKES)
  ) {
    return [1 / 0];
  }
  // A draining server draws a random retry time for each client. If it could not send one, the client
  // draws it.
  const unsaid = is(/^42(?!01)/) ? random() * WITHIN_MS : is(/^410[034]/) ? LEAST_MS : 0;
  return [saidOr(unsaid), true];
}
