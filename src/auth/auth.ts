/**
 * Authentication and authorization by the app: the user of a connection, and its permissions in addition to
 * those of the options. Called before the room is involved, with no lock held and with a timeout
 * (`authMs`, V16); the next command of the same connection waits for the answer, other connections do not.
 *
 * Not here: the calls (`app.ts`), tokens checked with keys of the options (`tokens.ts`).
 */
import type { MaybePromise } from '../broker/broker.js';
import type { Action } from '../room/identity.js';
import type { Handshake } from '../transport/transport.js';

/** An authenticated user, as the app returns it. Checked as the claims of a token are. */
export interface Principal {
  /** 1 to 128 characters without control characters. */
  readonly user: string;
  /**
   * The permissions of the user in addition to those of the options (`joinBy` and the like); default: none.
   * Synchronous and called often: at each join, and again for each joined room after each `auth`,
   * revocation and similar change.
   */
  may?(action: Action, room: string): boolean;
  /** Shown in presence lists: any JSON of at most `maxInfoBytes`. */
  readonly info?: unknown;
  /** When the connection is closed with 4105, in milliseconds since 1970; default: never. */
  readonly expiresAt?: number | undefined;
  /**
   * When the user authenticated, in milliseconds since 1970. A revocation applies to earlier logins, and
   * to those without it.
   */
  readonly issuedAt?: number | undefined;
  /** Id of the session, by which it can be revoked; 1 to 128 characters. */
  readonly tokenId?: string | undefined;
}

/** The connection that requests something. */
export interface Who {
  /** Id of the member, as `kick` takes it. */
  readonly member: string;
  /** Null if it has not authenticated. */
  readonly user: string | null;
  /** The request of the connection, always the same object: usable as a key for data of the app. */
  readonly handshake: Handshake;
}

/**
 * Each function is optional, and may return its answer or a promise. If it throws a `Refusal`, the client
 * gets that refusal. Any other throw, an invalid answer, and an answer later than `authMs` are refused
 * with `check_failed` and logged. `signal` is aborted on that timeout, and when the connection ends.
 */
export interface Auth {
  /**
   * Authenticates a connection, in place of tokens with keys of the options. Called when the connection
   * opens, with the token of its `Authorization: Bearer` header, or null; then for each `auth` command,
   * with its token. Null means that the user is unknown. Such a connection may still send a token; without
   * one it is closed with 4106 after `authMs`, unless `anonymous` lets it stay. A Refusal closes the
   * connection at once: `unauthorised` with 4001, `forbidden` with 4003, `token_expired` with 4105.
   * `check_failed` closes with 4106, which tells the client to reconnect. If the connection is already
   * authenticated, null or a throw changes nothing.
   */
  connect?(
    handshake: Handshake,
    token: string | null,
    signal: AbortSignal,
  ): MaybePromise<Principal | null>;
  /**
   * Whether a member may join a room that the options and `may` already allow. Called once per join; false
   * is refused with `not_allowed`. Members of the room stay in it: to remove them, revoke.
   */
  join?(who: Who, room: string, signal: AbortSignal): MaybePromise<boolean>;
  /**
   * Decides on a message of a member; `data` is a copy. True publishes it, `{ data }` publishes that
   * instead, false is refused with `not_allowed`. Not called for messages that the HTTP API or the app
   * publishes.
   */
  publish?(
    who: Who,
    room: string,
    data: unknown,
    signal: AbortSignal,
  ): MaybePromise<boolean | { readonly data: unknown }>;
}
