/**
 * What an app of its own can say of its connections: who they are, and what they may beside what
 * options allow. Called before a room is, with no lock held and with a deadline (`authMs`, V16); the
 * next command of the same connection waits for the answer, nobody else does.
 *
 * Not here: asking (`app.ts`), tokens that options have the keys of (`tokens.ts`).
 */
import type { MaybePromise } from '../broker/broker.js';
import type { Action } from '../room/identity.js';
import type { Handshake } from '../transport/transport.js';

/** Somebody, as an app knows them. Checked as the claims of a token are. */
export interface Principal {
  /** 1 to 128 characters without controls. */
  readonly user: string;
  /**
   * What the user may beside what options allow (`joinBy` and the like); without, nothing. Asked often
   * and at once: at each join, and for each room again after each `auth`, revocation and the like.
   */
  may?(action: Action, room: string): boolean;
  /** Shown to those who watch who is in a room: any JSON of at most `maxInfoBytes`. */
  readonly info?: unknown;
  /** When the connection is closed with 4105, in milliseconds since 1970; without, never. */
  readonly expiresAt?: number | undefined;
  /** When it was said who they are, as above: a revocation is about those before it, and all without. */
  readonly issuedAt?: number | undefined;
  /** Of a session, by which it can be revoked; 1 to 128 characters. */
  readonly tokenId?: string | undefined;
}

/** Who asks for something. */
export interface Who {
  /** Id of the connection, as `kick` takes it. */
  readonly member: string;
  /** Null for who has not said so. */
  readonly user: string | null;
  /** The request of the connection, the same object each time: a key for what the app keeps of it. */
  readonly handshake: Handshake;
}

/**
 * Each function is optional, and may answer at once or with a promise. A `Refusal` that it throws is told to
 * the client as it is; anything else that it throws, an answer that is none, and one that does not come within
 * `authMs` are refused with `check_failed`, and logged. `signal` is aborted then, and when the connection has gone.
 */
export interface Auth {
  /**
   * Says who a connection is, in the place of tokens with keys of options. Called when it opens, with
   * the token of its `Authorization: Bearer`, or null; then for each `auth` command, with its token.
   * Null: nobody who is known. Such a connection may still send a token, and is closed with 4106 after
   * `authMs`; with `anonymous` it stays. A Refusal closes it at once: `unauthorised` with 4001,
   * `forbidden` with 4003, `token_expired` with 4105. `check_failed` closes with 4106, which says to come
   * back. On a connection that is somebody already, neither null nor a throw changes anything.
   */
  connect?(
    handshake: Handshake,
    token: string | null,
    signal: AbortSignal,
  ): MaybePromise<Principal | null>;
  /**
   * Whether somebody may join a room that they may join as far as options and `may` are concerned. Asked
   * once a join; false is refused with `not_allowed`. Who is in stays in: to have them out, revoke.
   */
  join?(who: Who, room: string, signal: AbortSignal): MaybePromise<boolean>;
  /**
   * What becomes of a message of a member, of which `data` is a copy: true publishes it, `{ data }` puts
   * something else in its place, false is refused with `not_allowed`. Not asked about what the HTTP API
   * and the app publish.
   */
  publish?(
    who: Who,
    room: string,
    data: unknown,
    signal: AbortSignal,
  ): MaybePromise<boolean | { readonly data: unknown }>;
}
