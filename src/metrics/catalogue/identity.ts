/** Metrics of who connections are: tokens, keys, revocations, and what an app is asked. */
import { AUTH_RESULTS, QUESTIONS } from '../../auth/observer.js';
import type { Metric } from './metric.js';

/** Whether keys could be fetched. */
export const FETCHES = ['ok', 'failed'] as const;

/** 100 µs, a signature of a secret, to 10 s, the deadline. */
const AUTH_SECONDS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1, 2.5, 5, 10,
];

export const identity = {
  authentications: {
    name: 'roomcast_authentications_total',
    type: 'counter',
    unit: 'connections',
    labels: { result: AUTH_RESULTS },
    help: 'Times that a connection was to be somebody: ok, refreshed with a new token, or the code of its refusal.',
  },
  authenticationSeconds: {
    name: 'roomcast_authentication_seconds',
    type: 'histogram',
    unit: 'seconds',
    labels: {},
    buckets: AUTH_SECONDS,
    help: 'Time until a token was checked, or the app had said who it is; nobody else waits for it.',
  },
  tokensExpired: {
    name: 'roomcast_tokens_expired_total',
    type: 'counter',
    unit: 'connections',
    labels: {},
    help: 'Connections closed because their token ended and no new one had come.',
  },
  users: {
    name: 'roomcast_users',
    type: 'gauge',
    unit: 'users',
    labels: {},
    help: 'Users that are connected.',
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
    help: 'Revocations there may be: none is let go of to make room for another.',
  },
  keyFetches: {
    name: 'roomcast_key_fetches_total',
    type: 'counter',
    unit: 'fetches',
    labels: { result: FETCHES },
    help: 'Times that the keys of tokens were asked for at --jwks-url.',
  },
  keysAgeSeconds: {
    name: 'roomcast_keys_age_seconds',
    type: 'gauge',
    aggregate: 'max',
    unit: 'seconds',
    labels: {},
    help: 'How long ago the keys of tokens were fetched; infinite before the first time, 0 without --jwks-url.',
  },
  keySourcesDown: {
    name: 'roomcast_key_sources_down',
    type: 'gauge',
    unit: 'sources',
    labels: {},
    help: 'Key sources of which no keys can be used, since none were fetched yet or for longer than --jwks-stale-ms: 1 or 0. Tokens are refused with keys_unavailable then.',
  },
  appChecksFailed: {
    name: 'roomcast_app_checks_failed_total',
    type: 'counter',
    unit: 'checks',
    labels: { question: QUESTIONS },
    help: 'Times that the app was asked who somebody is, or what may be joined or published, and threw, was late or gave no answer. Each is refused with check_failed.',
  },
} as const satisfies Record<string, Metric>;
