/** Who connections are, whether their tokens can be checked, and who is in rooms. */
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
      means: 'Tokens a second that were taken, refreshed, or refused with a code.',
      normal: 'ok and refreshed. Nothing where no keys are configured.',
      act: 'keys_unavailable: see Keys. token_expired: clients do not refresh in time.',
      runbook: 'RoomcastTokensInvalid',
    },
  }),
  graph({
    id: 1002,
    title: 'Share refused',
    width: 6,
    unit: 'percentunit',
    threshold: THRESHOLDS.invalidTokenRatio,
    colours: { refused: COLOUR.loss },
    targets: [{ expr: tokensInvalid(PANEL), legend: 'refused' }],
    about: {
      means: 'Of the tokens that came, the share that is not one of ours (token_invalid).',
      normal: `below ${THRESHOLDS.invalidTokenRatio * 100} %.`,
      act: 'right after a change of keys: the issuer and this server do not have the same. Else somebody tries.',
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
      means: 'How long it took to check a token, or until the app had said who it is.',
      normal: 'below a millisecond with keys; what your app takes where it is asked.',
      act: 'if high, the app or the address of the keys is slow. Nobody else waits for it.',
      runbook: 'RoomcastKeySourceDown',
    },
  }),
  graph({
    id: 1004,
    title: 'Tokens that ended',
    width: 6,
    unit: 'percentunit',
    threshold: THRESHOLDS.expiryRatio,
    targets: [{ expr: expiryRatio(PANEL), legend: 'of members a second' }],
    about: {
      means:
        'Connections closed a second because their token ended and no new one had come, as a share of the members.',
      normal: 'near 0: a client sends a new token after refreshInMs.',
      act: 'in waves: all tokens end at one time, or whoever issues them is down.',
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
      means: 'How long ago the keys of tokens were fetched.',
      normal: 'a saw up to --jwks-refresh-ms. 0 without --jwks-url.',
      act: 'a line that goes on rising: --jwks-url cannot be reached. The log says why.',
      runbook: 'RoomcastKeyFetchesFail',
    },
  }),
  graph({
    id: 1006,
    title: 'Keys and apps that fail',
    width: 6,
    unit: 'short',
    targets: [
      { expr: sum(PANEL, [], select(PANEL, 'keySourcesDown')), legend: 'servers without keys' },
      {
        expr: sum(PANEL, ['result'], rate(PANEL, 'keyFetches')),
        legend: 'fetches a second: {{result}}',
      },
      {
        expr: sum(PANEL, ['question'], rate(PANEL, 'appChecksFailed')),
        legend: 'app a second: {{question}}',
      },
    ],
    about: {
      means:
        'Servers that can check no token, how often keys are fetched, and how often the app failed when it was asked.',
      normal: 'no failures: a fetch every --jwks-refresh-ms.',
      act: 'the log has a line for each failure, with what was thrown.',
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
      means: 'Users that are connected, each once a server however many connections they have.',
      normal: 'somewhat below the members. 0 without keys.',
      act: 'members without users: connections of nobody (--anonymous), or who has not sent a token yet.',
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
      { expr: sum(PANEL, [], select(PANEL, 'revocationsMax')), legend: 'there may be' },
    ],
    about: {
      means: 'Users and tokens that are cut off, and how many there may be.',
      normal: 'well below the bound. Both 0 without keys.',
      act: 'at the bound new ones are refused with revocations_full: lift some, or raise --max-revocations.',
      runbook: 'RoomcastTokensInvalid',
    },
  }),
  graph({
    id: 1009,
    title: 'Who is in rooms',
    width: 8,
    unit: 'short',
    targets: [
      { expr: sum(PANEL, [], select(PANEL, 'presenceUsers')), legend: 'users' },
      { expr: sum(PANEL, [], select(PANEL, 'presenceLingering')), legend: 'waited for' },
      { expr: sum(PANEL, [], select(PANEL, 'presenceWatchers')), legend: 'watchers' },
      { expr: sum(PANEL, [], select(PANEL, 'presenceRooms')), legend: 'rooms' },
    ],
    about: {
      means:
        'Rooms that tell who is in them, users in them (once a room), those of them whose connection has ended and who are waited for, and members that are told.',
      normal: 'follows the members. 0 where presence is off.',
      act: 'many waited for: a reconnect of many, or clients that lose their connections.',
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
      means:
        'Users a second that joined a room, left it, or returned before anybody was told that they had gone.',
      normal: 'as many joined as left.',
      act: 'returned: reloads, and connections that break; see Reasons of closing.',
      runbook: 'RoomcastConnectionChurn',
    },
  }),
  graph({
    id: 1011,
    title: 'Presence told',
    width: 8,
    unit: 'ops',
    targets: [
      { expr: sum(PANEL, ['kind'], rate(PANEL, 'presenceFrames')), legend: '{{kind}}' },
      { expr: `${sum(PANEL, [], rate(PANEL, 'presenceBytes'))} / 1024`, legend: 'KiB' },
    ],
    about: {
      means: 'What watchers are told a second: pages of the list, differences, numbers; and KiB.',
      normal: 'at most a difference a watcher and --presence-interval-ms.',
      act: 'many bytes: lists are long. A lower --presence-max-users turns them into numbers.',
      runbook: 'RoomcastEventLoopLag',
    },
  }),
];
