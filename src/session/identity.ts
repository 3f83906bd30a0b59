/**
 * Who one connection is: the token that it came with or sends, the next one in its place, and the end
 * of both. Only made where there are keys.
 *
 * V15: what it may changes in one step, in which it also leaves what it may not be in. V16: a check
 * that does not end is ended, and is never told as a wrong token; at `exp` and the tolerance it closes.
 * V8: its timer, its alarms and its wait end with the session.
 *
 * Not here: whether a token is good (`auth/tokens.ts`), what it allows (`auth/grants.ts`).
 */
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
import type { Identity } from '../room/identity.js';
import type { Member } from '../room/member.js';
import { clearTimeout, nowMs, setTimeout } from '../time.js';
import { TokenBucket } from '../token-bucket.js';
import type { Handshake } from '../transport/transport.js';
import type { Known, People } from './people.js';

/** Tokens of one connection in a second, and at once. */
const AUTH_RATE = 1;
const AUTH_BURST = 5;
/** The part of what is left of a token after which a new one is asked for, drawn for each. */
const REFRESH = { from: 0.7, to: 0.9 };
/** More a timer of a browser cannot wait. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** How a connection ends that has not been anybody yet, by what is wrong with its token. */
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

/** What it needs of its session. */
export interface Host {
  readonly config: Config;
  readonly member: Member;
  readonly hasClosed: boolean;
  /** The connection is this from now on; how many rooms it has left for it. */
  identify(identity: Identity): number;
  send(event: Event): void;
  refuse(id: CommandId | undefined, error: unknown): void;
  close(reason: CloseReason): void;
}

export class SessionIdentity implements Known {
  readonly #auth: Authenticator;
  readonly #people: People;
  readonly #host: Host;
  readonly #handshake: Handshake;
  readonly #tokens = new TokenBucket(AUTH_RATE, AUTH_BURST);
  readonly #ended = new AbortController();
  #claims: Claims | null = null;
  #deadline: NodeJS.Timeout | undefined;
  #isOverdue = false;
  /** A token is looked at, which has a deadline of its own. */
  #isChecking = false;
  #notice: Alarm | undefined;
  #end: Alarm | undefined;

  /** `handshake` is of the request that the connection began with. */
  constructor(auth: Authenticator, people: People, host: Host, handshake: Handshake) {
    this.#auth = auth;
    this.#people = people;
    this.#host = host;
    this.#handshake = handshake;
    // Whatever else it says meanwhile, nothing but a good token keeps it.
    if (auth.mode === 'required') {
      this.#deadline = setTimeout(() => {
        this.#isOverdue = true;
        this.#endOverdue();
      }, host.config.authMs);
    }
  }

  /** Whether it may say more than that it is there. */
  get mayAsk(): boolean {
    return this.#claims !== null || this.#auth.mode === 'optional';
  }

  /** Finds out who it is from the request it began with; undefined where that has nothing to say. */
  begin(): Promise<void> | undefined {
    const { authorization = '' } = this.#handshake.headers;
    const token = /^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? null;
    if (token === null && !this.#auth.readsRequests) return undefined;
    return this.#check(undefined, token);
  }

  /**
   * Takes a token in the place of the one before, which stays where this is refused.
   * @throws Refusal as a rejection, where the connection goes on
   */
  async take(id: CommandId | undefined, token: unknown): Promise<void> {
    if (!this.#tokens.take()) {
      throw new Refusal('rate_limited', `More than ${AUTH_BURST} tokens at once.`);
    }
    // Only a request may come without one.
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
      else if (token !== null) throw new Refusal('token_invalid', "The token is nobody's.");
    } catch (error) {
      ended(resultOf(error));
      const closes = error instanceof Refusal ? CLOSES[error.code] : undefined;
      if (this.#claims !== null || closes === undefined) throw error;
      this.#host.refuse(id, error);
      this.#host.close(closes);
    } finally {
      this.#isChecking = false;
      this.#endOverdue();
    }
  }

  /** Closes who has not been anybody in time. */
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
    clearTimeout(this.#deadline);
    this.#letGo();
    this.#ended.abort(shuttingDown());
  }

  /** All in one step: what happens at the same time is before it or behind it. False: there is no place for it. */
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
    clearTimeout(this.#deadline);
    this.#letGo();
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

  /** Of the token there was. */
  #letGo(): void {
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

/** Says why a new token may be refused too: its user cannot see what was revoked. */
function tokenRevoked({ issuedAt }: Claims, { until }: Revocation): Refusal {
  const why =
    issuedAt === null
      ? 'it does not say when it was issued (iat), so that one of later cannot be told from it'
      : 'it was issued before that';
  return new Refusal(
    'token_revoked',
    `The token, or its user, was cut off until ${new Date(until).toISOString()}, and ${why}.`,
  );
}
