/** What is told of who connections are, as it happens, to whoever counts. */
import type { Auth } from './auth.js';

/**
 * What has become of a connection that was to be somebody: it is, it is so with a newer token, or the
 * code of its refusal; `other` for what says nothing of tokens, such as a shutdown.
 */
export const AUTH_RESULTS = [
  'ok',
  'refreshed',
  'token_invalid',
  'token_expired',
  'token_revoked',
  'token_too_big',
  'keys_unavailable',
  'check_failed',
  'identity_changed',
  'unauthorised',
  'forbidden',
  'over_capacity',
  'other',
] as const;
export type AuthResult = (typeof AUTH_RESULTS)[number];

/** What an app is asked. */
export const QUESTIONS = ['connect', 'join', 'publish', 'may'] as const satisfies readonly (
  | keyof Auth
  | 'may'
)[];
export type Question = (typeof QUESTIONS)[number];

export interface AuthObserver {
  /** A check has ended, after `seconds`. */
  authenticated(result: AuthResult, seconds: number): void;
  /** A connection is closed since its token has ended. */
  tokenExpired(): void;
  /** Keys were asked for at `jwksUrl`. */
  keysFetched(isOk: boolean): void;
  /** The app was asked and has thrown, was late or gave no answer. */
  appFailed(question: Question): void;
}
