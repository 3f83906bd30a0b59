/** Authentication, keys, users and presence. */
import { expiryRatio, tokensInvalid } from '../expressions.js';
import { COLOUR, graph, type Panel } from '../panels.js';
import { PANEL, PANEL_BY_INSTANCE, quantile, rate, select, sum } from '../promql.js';
import { THRESHOLDS } from '../thresholds.js';

export const identity: readonly Panel[] = [
  graph({
    id: 1001,
    title: 'Authentications',
    width: 6,
    unit: 'ops',
    stacked: true,
    colours: { ok: COLOUR.good },
    targets: [
      { expr: sum(PANEL, ['result'], rate(PANEL, 'authentications')), legend: '{{result}}' },
    ],
    about: {
      means: 'Tokens accepted, refreshed, or refused with a code, per second.',
      normal: 'ok and refreshed. Nothing without configured keys.',
      act: 'keys_unavailable: see Keys. token_expired: clients do not refresh in time.',
      runbook: 'RoomcastTokensInvalid',
    },
  }),
  graph({
    id: 1002,
    title: 'Invalid token ratio',
    width: 6,
    unit: 'percentunit',
    threshold: THRESHOLDS.invalidTokenRatio,
    colours: { refused: COLOUR.loss },
    targets: [{ expr: tokensInvalid(PANEL), legend: 'refused' }],
    about: {
      means: 'Invalid tokens (token_invalid) as a share of all tokens received.',
      normal: `below ${THRESHOLDS.invalidTokenRatio * 100} %.`,
      act: 'right after a key change: the issuer and this server have different keys. Otherwise: possibly an attack.',
      runbook: 'RoomcastTokensInvalid',
    },
  }),
  graph({
    id: 1003,
    title: 'Time to authenticate',
    width: 6,
    unit: 's',
    logarithmic: true,
    targets: [
      { expr: quantile(PANEL, 0.5, 'authenticationSeconds'), legend: 'p50' },
      { expr: quantile(PANEL, 0.99, 'authenticationSeconds'), legend: 'p99' },
    ],
    about: {
      means: "Time to verify a token, or until the app's hook has answered.",
      normal: 'below a millisecond with keys; the response time of your app if it is asked.',
      act: 'if high, the app or the key endpoint is slow. Other connections are not delayed.',
      runbook: 'RoomcastKeySourceDown',
    },
  }),
  graph({
    id: 1004,
    title: 'Expired tokens',
    width: 6,
    unit: 'percentunit',
    threshold: THRESHOLDS.expiryRatio,
    targets: [{ expr: expiryRatio(PANEL), legend: 'of members per second' }],
    about: {
      means:
        'Connections closed per second because their token expired without a new one, as a share of the members.',
      normal: 'near 0: a client sends a new token after refreshInMs.',
      act: 'in waves: all tokens expire at the same time, or their issuer is down.',
      runbook: 'RoomcastExpiriesHigh',
    },
  }),
  graph({
    id: 1005,
    title: 'Keys',
    width: 6,
    unit: 's',
    targets: [
      {
        expr: sum(PANEL_BY_INSTANCE, [], select(PANEL_BY_INSTANCE, 'keysAgeSeconds')),
        legend: 'age at {{instance}}',
      },
    ],
    about: {
      means: 'Time since the token keys were fetched.',
      normal: 'a sawtooth up to --jwks-refresh-ms. 0 without --jwks-url.',
      act: 'a line that keeps rising: --jwks-url cannot be reached. The log says why.',
      runbook: 'RoomcastKeyFetchesFail',
    },
  }),
  graph({
    id: 1006,
    title: 'Key and app failures',
    width: 6,
    unit: 'short',
    targets: [
      { expr: sum(PANEL, [], select(PANEL, 'keySourcesDown')), legend: 'servers without keys' },
      {
        expr: sum(PANEL, ['result'], rate(PANEL, 'keyFetches')),
        legend: 'fetches per second: {{result}}',
      },
      {
        expr: sum(PANEL, ['question'], rate(PANEL, 'appChecksFailed')),
        legend: 'app failures per second: {{question}}',
      },
    ],
    about: {
      means: "Servers that cannot verify tokens, key fetches, and failures of the app's hook.",
      normal: 'no failures: one fetch every --jwks-refresh-ms.',
      act: 'the log has a line for each failure, with the error.',
      runbook: 'RoomcastKeySourceDown',
    },
  }),
  graph({
    id: 1007,
    title: 'Users',
    width: 6,
    unit: 'short',
    targets: [{ expr: sum(PANEL, [], select(PANEL, 'users')), legend: 'users' }],
    about: {
      means: 'Connected users, each counted once per server regardless of its connections.',
      normal: 'somewhat below the members. 0 without keys.',
      act: 'members without users: anonymous connections (--anonymous), or clients that have not sent a token yet.',
      runbook: 'RoomcastTokensInvalid',
    },
  }),
  graph({
    id: 1008,
    title: 'Revocations',
    width: 6,
    unit: 'short',
    logarithmic: true,
    targets: [
      { expr: sum(PANEL, [], select(PANEL, 'revocations')), legend: 'in force' },
      { expr: sum(PANEL, [], select(PANEL, 'revocationsMax')), legend: 'limit' },
    ],
    about: {
      means: 'Revocations in force, and the limit.',
      normal: 'well below the limit. Both 0 without keys.',
      act: 'at the limit new ones are refused with revocations_full: lift some, or raise --max-revocations.',
      runbook: 'RoomcastTokensInvalid',
    },
  }),
  graph({
    id: 1009,
    title: 'Presence',
    width: 8,
    unit: 'short',
    targets: [
      { expr: sum(PANEL, [], select(PANEL, 'presenceUsers')), legend: 'users' },
      { expr: sum(PANEL, [], select(PANEL, 'presenceLingering')), legend: 'lingering' },
      { expr: sum(PANEL, [], select(PANEL, 'presenceWatchers')), legend: 'watchers' },
      { expr: sum(PANEL, [], select(PANEL, 'presenceRooms')), legend: 'rooms' },
    ],
    about: {
      means:
        'Rooms with presence, users in them (counted per room), users in their linger after their last connection ended, and watchers.',
      normal: 'follows the members. 0 where presence is off.',
      act: 'many lingering: a mass reconnect, or clients that lose their connections.',
      runbook: 'RoomcastConnectionChurn',
    },
  }),
  graph({
    id: 1010,
    title: 'Presence changes',
    width: 8,
    unit: 'ops',
    stacked: true,
    targets: [{ expr: sum(PANEL, ['kind'], rate(PANEL, 'presenceChanges')), legend: '{{kind}}' }],
    about: {
      means: 'Users per second that joined a room, left it, or returned within the linger.',
      normal: 'as many joined as left.',
      act: 'returned: page reloads and broken connections; see Close reasons.',
      runbook: 'RoomcastConnectionChurn',
    },
  }),
  graph({
    id: 1011,
    title: 'Presence frames',
    width: 8,
    unit: 'ops',
    targets: [
      { expr: sum(PANEL, ['kind'], rate(PANEL, 'presenceFrames')), legend: '{{kind}}' },
      { expr: `${sum(PANEL, [], rate(PANEL, 'presenceBytes'))} / 1024`, legend: 'KiB' },
    ],
    about: {
      means:
        'Presence frames sent to watchers per second: list pages, differences, counts; and KiB.',
      normal: 'at most one difference per watcher and --presence-interval-ms.',
      act: 'many bytes: the lists are long. A lower --presence-max-users replaces them by counts.',
      runbook: 'RoomcastEventLoopLag',
    },
  }),
];
