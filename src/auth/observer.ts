/** Observer interface for authentication events, for the metrics. */
import type { Auth } from './auth.js';

/**
 * Result of an authentication: accepted, accepted with a newer token, or the code of the refusal; `other` for
 * a refusal that does not concern tokens, such as a shutdown.
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

/** The functions of the app that can be called. */
export const QUESTIONS = ['connect', 'join', 'publish', 'may'] as const satisfies readonly (
  | keyof Auth
  | 'may'
)[];
export type Question = (typeof QUESTIONS)[number];

export interface AuthObserver {
  /** A check has ended, after `seconds`. */
  authenticated(result: AuthResult, seconds: number): void;
  /** A connection is closed because its token has expired. */
  tokenExpired(): void;
  /** Keys were fetched from `jwksUrl`. */
  keysFetched(isOk: boolean): void;
  /** The app was called and threw, was late or gave an invalid answer. */
  appFailed(question: Question): void;
}
