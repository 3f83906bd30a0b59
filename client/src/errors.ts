/**
 * What can go wrong, by code; the sentences are in the documentation, not in every page that loads
 * the client. No error has a payload or a token in it.
 */

/** Codes of the client itself; a server adds its own (`rate_limited`, `not_allowed`, …). */
export type ClientErrorCode =
  /** The signal of the call was aborted. */
  | 'aborted'
  /** What was to be published is no JSON: a function, a circle, a BigInt, undefined. */
  | 'bad_data'
  /** No socket can be opened: the URL is none, the page may not, or there is no WebSocket (Node 20: give one). `cause` says which. */
  | 'bad_url'
  /** The client is closed: by `close()`, or for good by the server; `cause` has the close code. */
  | 'closed'
  /** The connection ended before the answer: it may have been done. */
  | 'connection_lost'
  /** A listener threw; `cause` is what. */
  | 'handler_failed'
  /** The room was left before it was joined. */
  | 'left'
  /** `load` threw; `cause` is what. What was held is delivered. */
  | 'load_failed'
  /** Larger than the server takes. */
  | 'message_too_big'
  /** Something was asked for that is not there: `auth`, `presence`, `load` without `healing`; the message says which. */
  | 'not_offered'
  /** A ping without a connection. */
  | 'not_online'
  /** `parse` threw; `cause` is what. The message counts as delivered. */
  | 'parse_failed'
  /** The server speaks a later version of the protocol. */
  | 'protocol_version'
  /** As much waits for a connection as may. */
  | 'queue_full'
  /** No answer in time. */
  | 'timeout'
  /** Reason of a pause: `getToken` threw or took too long. */
  | 'token_failed'
  /** `getToken` threw `Unauthorised`, or the server refused two tokens in a row. */
  | 'unauthorised'
  /** Five attempts in a row without a word of a server. It is tried on; `cause` is why the last one failed. */
  | 'unreachable';

export type ErrorCode = ClientErrorCode | (string & {});

/** Codes, of the client and of servers, that no later try would change. */
export const FINAL =
  /^(bad_|closed|forbidden|identity_|not_(?!online)|protocol_|revoked|token_[ir]|unauthorised)|too_/;

export class RoomcastError extends Error {
  declare readonly name: 'RoomcastError';
  declare readonly code: ErrorCode;
  /** Whether the same may go well a little later. */
  declare readonly retryable: boolean;
  declare readonly retryAfterMs?: number;
  declare readonly room?: string;
  /** What was thrown, where that was the app's; of an end, its `CloseReason`. */
  declare readonly cause?: unknown;

  constructor(
    code: ErrorCode,
    about?: { message?: string; room?: string | undefined; cause?: unknown },
  ) {
    super(code);
    const retryable = !FINAL.test(code);
    // A server lets through what one second has room for.
    const rate = code === 'rate_limited' && { retryAfterMs: 1000 };
    Object.assign(this, { name: 'RoomcastError', code, retryable }, rate, about);
  }
}

/** Thrown from `getToken`: this user may not, and no later token will help. */
export class Unauthorised extends Error {}

/** Where nobody listens: never lost, and never the end of a process. */
export function report(error: RoomcastError): void {
  const { reportError = console.error } = globalThis as { reportError?: (error: unknown) => void };
  reportError(error);
}
