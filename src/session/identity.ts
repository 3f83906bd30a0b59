/**
 * Authentication of one connection: its first token, its refreshes, and their expiry. Only created if
 * authentication is on, by keys or by the application's `connect` hook.
 *
 * V15: permissions change in one step, in which the connection also leaves the rooms it may no longer be
 * in. V13: time in which the server was blocked does not count for the first token. V16: a token
 * check that hangs is ended and never reported as an invalid token; the connection closes at `exp` plus
 * tolerance. V8: its timer, alarms and pending check end with the session.
 *
 * Not here: validating tokens (`auth/tokens.ts`), permissions (`auth/grants.ts`).
 */
import { tokensOf, withoutTokens } from '../app-error.js';
import type { Alarm } from '../auth/alarms.js';
import type { Authenticator } from '../auth/authenticator.js';
import type { Claims } from '../auth/claims.js';
import { AUTH_RESULTS, type AuthResult } from '../auth/observer.js';
import type { Revocation } from '../auth/revocations.js';
import { within } from '../auth/within.js';
import { type CloseReason, Refusal, type RefusalCode, shuttingDown } from '../errors.js';
import type { Config } from '../options/config.js';
import type { Event } from '../protocol/events.js';
import type { CommandId } from '../protocol/fields.js';
import type { Hub } from '../room/hub.js';
import type { Identity } from '../room/identity.js';
import type { Member } from '../room/member.js';
import { nowMs } from '../time.js';
import { TokenBucket } from '../token-bucket.js';
import type { Handshake } from '../transport/transport.js';
import type { Known, People } from './people.js';

/** Tokens one connection may send per second, and at once. */
const AUTH_RATE = 1;
const AUTH_BURST = 5;
/** Fraction of a token's remaining lifetime after which to refresh it, drawn at random per token. */
const REFRESH = { from: 0.7, to: 0.9 };
/** Longest delay of a browser's timer. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Stands in for a request that is not needed any more. */
const NO_REQUEST: Handshake = { headers: {}, url: '', address: '' };

/** Close reason for a connection that has no valid token yet, by the error of its token. */
const CLOSES: Partial<Record<RefusalCode, CloseReason>> = {
  token_invalid: 'unauthorised',
  token_too_big: 'unauthorised',
  token_expired: 'token_expired',
  token_revoked: 'revoked',
  keys_unavailable: 'not_authenticated',
  check_failed: 'not_authenticated',
  unauthorised: 'unauthorised',
  forbidden: 'forbidden',
};

/** What it uses of its session. */
export interface Host {
  readonly config: Config;
  readonly hub: Hub;
  readonly member: Member;
  readonly hasClosed: boolean;
  /** Sets the connection's identity; returns how many rooms it left. */
  identify(identity: Identity): number;
  send(event: Event): void;
  refuse(id: CommandId | undefined, error: unknown): void;
  /** `text` tells the peer and the log more than the reason does. */
  close(reason: CloseReason, text?: string): void;
}

export class SessionIdentity implements Known {
  readonly #auth: Authenticator;
  readonly #people: People;
  readonly #host: Host;
  #handshake: Handshake;
  readonly #tokens = new TokenBucket(AUTH_RATE, AUTH_BURST);
  readonly #ended = new AbortController();
  #claims: Claims | null = null;
  /** Ends the wait for a valid token. */
  #endWait = () => {};
  #isOverdue = false;
  /** A token check is in progress; it has its own deadline. */
  #isChecking = false;
  #notice: Alarm | undefined;
  #end: Alarm | undefined;

  /** `handshake` is that of the request that opened the connection. */
  constructor(auth: Authenticator, people: People, host: Host, handshake: Handshake) {
    this.#auth = auth;
    this.#people = people;
    this.#host = host;
    this.#handshake = handshake;
    // Only a valid token ends this wait, whatever else the client sends.
    if (auth.mode === 'required') {
      this.#endWait = host.hub.memberContext.clock.after(host.config.authMs, () => {
        this.#isOverdue = true;
        this.#endOverdue();
      });
    }
  }

  /** Whether it may send commands other than `auth` and `ping`. */
  get mayAsk(): boolean {
    return this.#claims !== null || this.#auth.mode === 'optional';
  }

  /** Authenticates by the opening request; undefined if there is nothing in it to check. */
  begin(): Promise<void> | undefined {
    const { authorization = '' } = this.#handshake.headers;
    // Only the app's own check needs the headers again.
    if (!this.#auth.readsRequests) this.#handshake = NO_REQUEST;
    const token = /^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? null;
    if (token === null && !this.#auth.readsRequests) return undefined;
    return this.#check(undefined, token);
  }

  /**
   * Replaces the current token. If the new one is refused, the current one stays.
   *
   * @throws Refusal as a rejection, if the connection stays open
   */
  async take(id: CommandId | undefined, token: unknown): Promise<void> {
    if (!this.#tokens.take()) {
      throw new Refusal('rate_limited', `You sent more than ${AUTH_BURST} tokens at once.`);
    }
    // Only the opening request may have no token.
    await this.#check(id, token ?? undefined);
  }

  async #check(id: CommandId | undefined, token: unknown): Promise<void> {
    const askedAt = nowMs();
    const isSomebody = this.#claims !== null;
    const ended = (result: AuthResult) =>
      this.#auth.observer.authenticated(result, (nowMs() - askedAt) / 1e3);
    this.#isChecking = true;
    try {
      const claims = await within(
        this.#host.config.authMs,
        this.#ended.signal,
        (signal) => this.#auth.check(token, this.#handshake, signal),
        () => this.#auth.late(),
      );
      if (this.#host.hasClosed) return;
      if (claims !== null) ended(this.#become(id, claims) ? wellDone(isSomebody) : 'over_capacity');
      else if (token !== null) throw new Refusal('token_invalid', 'The token names no user.');
    } catch (error) {
      ended(resultOf(error));
      const closes = error instanceof Refusal ? CLOSES[error.code] : undefined;
      if (this.#claims !== null || closes === undefined) throw error;
      this.#host.refuse(id, error);
      const tokens = tokensOf(this.#handshake, typeof token === 'string' ? token : null);
      this.#host.close(closes, withoutTokens((error as Refusal).message, tokens));
    } finally {
      this.#isChecking = false;
      this.#endOverdue();
    }
  }

  /** Closes a connection that was not authenticated in time. */
  #endOverdue(): void {
    const isWaiting = this.#isOverdue && !this.#isChecking && this.#claims === null;
    if (isWaiting) this.#host.close('not_authenticated');
  }

  get member(): Member {
    return this.#host.member;
  }

  get mayStay(): boolean {
    return this.#claims === null || this.#auth.revocations?.everywhere(this.#claims) === null;
  }

  close(reason: CloseReason): void {
    this.#host.close(reason);
  }

  reassess(): number {
    return this.#claims === null ? 0 : this.#host.identify(this.#auth.identityOf(this.#claims));
  }

  end(): void {
    this.#endWait();
    this.#release();
    this.#ended.abort(shuttingDown());
  }

  /**
   * Applies a valid token, in one synchronous step. Returns false if the user has too many connections.
   */
  #become(id: CommandId | undefined, claims: Claims): boolean {
    const { config } = this.#host;
    const { user, expiresAt } = claims;
    if (this.#claims !== null && this.#claims.user !== user) {
      throw new Refusal(
        'identity_changed',
        'The token is of another user; open another connection for them.',
      );
    }
    const revoked = this.#auth.revocations?.everywhere(claims);
    if (revoked) throw tokenRevoked(claims, revoked);
    const { maxConnectionsPerUser } = config;
    const isNew = this.#claims === null && maxConnectionsPerUser > 0;
    if (isNew && this.#people.count(user) >= maxConnectionsPerUser) {
      this.#host.close('over_capacity');
      return false;
    }
    const now = Date.now();
    const endsAt = expiresAt + config.clockToleranceMs;
    if (endsAt <= now) throw new Refusal('token_expired', 'The token has expired; send a new one.');
    const identity = this.#auth.identityOf(claims);
    this.#endWait();
    this.#release();
    this.#claims = claims;
    this.#people.add(this, user, claims.tokenId);
    const doesEnd = Number.isFinite(endsAt);
    if (doesEnd) {
      this.#end = this.#auth.alarms?.set(endsAt, () => {
        this.#auth.observer.tokenExpired();
        this.#host.close('token_expired');
      });
    }
    if (doesEnd && config.expiryNoticeMs > 0) {
      this.#notice = this.#auth.alarms?.set(expiresAt - config.expiryNoticeMs, () =>
        this.#host.send({ type: 'expiring', inMs: Math.max(0, expiresAt - Date.now()) }),
      );
    }
    this.#host.identify(identity);
    if (id === undefined) return true;
    if (!doesEnd) {
      this.#host.send({ type: 'authenticated', id, user });
      return true;
    }
    const expiresInMs = Math.max(0, expiresAt - now);
    const part = REFRESH.from + Math.random() * (REFRESH.to - REFRESH.from);
    const refreshInMs = Math.min(MAX_TIMER_MS, Math.floor(expiresInMs * part));
    this.#host.send({ type: 'authenticated', id, user, expiresInMs, refreshInMs });
    return true;
  }

  /** Releases the current token's alarms and index entries. */
  #release(): void {
    this.#notice?.cancel();
    this.#end?.cancel();
    const token = this.#claims;
    if (token !== null) this.#people.remove(this, token.user, token.tokenId);
  }
}

const wellDone = (wasSomebody: boolean): AuthResult => (wasSomebody ? 'refreshed' : 'ok');

function resultOf(error: unknown): AuthResult {
  const code = error instanceof Refusal ? error.code : undefined;
  return AUTH_RESULTS.find((result) => result === code) ?? 'other';
}

/** Explains why a new token may be refused too, since the user cannot see the revocation. */
function tokenRevoked({ issuedAt }: Claims, { until }: Revocation): Refusal {
  const why =
    issuedAt === null
      ? 'it does not say when it was issued (iat), so it cannot be shown to be newer'
      : 'it was issued before the revocation';
  return new Refusal(
    'token_revoked',
    `The token or its user is revoked until ${new Date(until).toISOString()}, and ${why}.`,
  );
}
