/**
 * Error codes of the client. Their explanations are in the documentation, to keep them out of the
 * bundle. No error contains a payload or a token.
 */

/** Codes of the client itself. A server adds its own (`rate_limited`, `not_allowed`, …). */
export type ClientErrorCode =
  /** The signal of the call was aborted. */
  | 'aborted'
  /**
   * The published value cannot be encoded as JSON: a function, a circular object, a BigInt, undefined.
   */
  | 'bad_data'
  /**
   * The socket cannot be opened: the URL is invalid, the page may not connect, or there is no built-in
   * WebSocket (Node 20: pass one). `cause` says which.
   */
  | 'bad_url'
  /** The client is closed, by `close()` or permanently by the server. `cause` has the close code. */
  | 'closed'
  /** The connection ended before the answer. The command may have been carried out. */
  | 'connection_lost'
  /** A listener threw. `cause` is the thrown value. */
  | 'handler_failed'
  /** The room was left before it was joined. */
  | 'left'
  /** `load` threw; `cause` is the thrown value. The held messages are delivered. */
  | 'load_failed'
  /** Larger than the server's limit. */
  | 'message_too_big'
  /**
   * A feature was used that is not available: `auth`, `presence`, or `load` without `healing`. The
   * message says which.
   */
  | 'not_offered'
  /** `ping` was called without a connection. */
  | 'not_online'
  /** `parse` threw; `cause` is the thrown value. The message counts as delivered. */
  | 'parse_failed'
  /** The server speaks another version of the protocol. */
  | 'protocol_version'
  /** The queue of publishes that wait for a connection is full. */
  | 'queue_full'
  /** No answer before the timeout. */
  | 'timeout'
  /** Reason of a `waiting` state: `getToken` threw or timed out. */
  | 'token_failed'
  /** `getToken` threw `Unauthorised`, or the server refused two tokens in a row. */
  | 'unauthorised'
  /**
   * Five attempts in a row ended before the server's first frame. The client keeps trying. `cause` is
   * why the last one failed.
   */
  | 'unreachable';

export type ErrorCode = ClientErrorCode | (string & {});

/** Codes, of the client and of servers, for which a retry cannot succeed. */
export const FINAL =
  /^(bad_|closed|forbidden|identity_|not_(?!online)|protocol_|revoked|token_[ir]|unauthorised)|too_/;

export class RoomcastError extends Error {
  declare readonly name: 'RoomcastError';
  declare readonly code: ErrorCode;
  /** Whether a retry a little later may succeed. */
  declare readonly retryable: boolean;
  declare readonly retryAfterMs?: number;
  declare readonly room?: string;
  /** The thrown value, if the app threw; the `CloseReason`, if the client is closed. */
  declare readonly cause?: unknown;

  constructor(
    code: ErrorCode,
    about?: { message?: string; room?: string | undefined; cause?: unknown },
  ) {
    const why = (about?.cause as Partial<Error> | undefined)?.message;
    super(why ? `${code}: ${why}` : code);
    const retryable = !FINAL.test(code);
    // The server's rate limit refills within a second.
    const rate = code === 'rate_limited' && { retryAfterMs: 1000 };
    Object.assign(this, { name: 'RoomcastError', code, retryable }, rate, about);
  }
}

/** Throw this from `getToken` when the user is not authorised and no later token will be. */
export class Unauthorised extends Error {}

/** Reports an error that has no listener. It is never lost and never ends the process. */
export function report(error: RoomcastError): void {
  const { reportError = console.error } = globalThis as { reportError?: (error: unknown) => void };
  reportError(error);
}
