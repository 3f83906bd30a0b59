/** The public API of roomcast-client; see the README of this package. */
import { client } from './client.js';
import type { Client, Options, Rooms } from './types.js';

export { type ClientErrorCode, type ErrorCode, RoomcastError, Unauthorised } from './errors.js';
export type * from './types.js';
export type { Feature, HealthState, Position, PresenceCounts, Present } from './wire.js';

/**
 * Connects and stays connected until `close()`. The URL is `wss://…/ws`. Relative and `https` URLs
 * depend on the platform: Chrome 125, Firefox 124 and Safari 17.3 accept them. Never throws: an invalid
 * URL closes the client with a reason.
 */
export function connect<R extends object = Rooms>(
  url: string | URL,
  options: Options = {},
): Client<R> {
  return client(String(url), options) as unknown as Client<R>;
}
