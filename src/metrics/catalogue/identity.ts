/** Metrics of authentication: tokens, keys, revocations, and checks by the app. */
import { AUTH_RESULTS, QUESTIONS } from '../../auth/observer.js';
import type { Metric } from './metric.js';

/** Result of fetching keys. */
export const FETCHES = ['ok', 'failed'] as const;

/** From 100 µs, a signature with a secret, to 10 s, the timeout. */
const AUTH_SECONDS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1, 2.5, 5, 10,
];

export const identity = {
  authentications: {
    name: 'roomcast_authentications_total',
    type: 'counter',
    unit: 'connections',
    labels: { result: AUTH_RESULTS },
    help: 'Authentications of connections, by result: ok, refreshed with a new token, or the code of the refusal.',
  },
  authenticationSeconds: {
    name: 'roomcast_authentication_seconds',
    type: 'histogram',
    unit: 'seconds',
    labels: {},
    buckets: AUTH_SECONDS,
    help: 'Time until a token was checked or the app had answered; no other connection waits for it.',
  },
  tokensExpired: {
    name: 'roomcast_tokens_expired_total',
    type: 'counter',
    unit: 'connections',
    labels: {},
    help: 'Connections closed because their token expired and no new one had arrived.',
  },
  users: {
    name: 'roomcast_users',
    type: 'gauge',
    unit: 'users',
    labels: {},
    help: 'Connected users.',
  },
  revocations: {
    name: 'roomcast_revocations',
    type: 'gauge',
    unit: 'revocations',
    labels: {},
    help: 'Revocations in force.',
  },
  revocationsMax: {
    name: 'roomcast_revocations_max',
    type: 'gauge',
    unit: 'revocations',
    labels: {},
    help: 'Maximum number of revocations: at the limit, a new one is refused.',
  },
  keyFetches: {
    name: 'roomcast_key_fetches_total',
    type: 'counter',
    unit: 'fetches',
    labels: { result: FETCHES },
    help: 'Fetches of keys from --jwks-url.',
  },
  keysAgeSeconds: {
    name: 'roomcast_keys_age_seconds',
    type: 'gauge',
    aggregate: 'max',
    unit: 'seconds',
    labels: {},
    help: 'Time since keys were fetched from --jwks-url; infinite before the first fetch, 0 without --jwks-url.',
  },
  keySourcesDown: {
    name: 'roomcast_key_sources_down',
    type: 'gauge',
    unit: 'sources',
    labels: {},
    help: 'Key sources without usable keys, because no fetch has succeeded, yet or for longer than --jwks-stale-ms: 1 or 0. Tokens are then refused with keys_unavailable.',
  },
  appChecksFailed: {
    name: 'roomcast_app_checks_failed_total',
    type: 'counter',
    unit: 'checks',
    labels: { question: QUESTIONS },
    help: 'Times that the app was asked to authenticate a connection or to allow a join or publish, and threw, was late or gave no valid answer. Each is refused with check_failed.',
  },
} as const satisfies Record<string, Metric>;
