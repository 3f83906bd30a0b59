/**
 * Checks options against each other, and finds options that have no effect with the others. A relation
 * between two numbers is one line of `AT_LEAST`.
 *
 * Not here: the check of a single value (`check.ts`).
 */
import { ConfigError, type ConfigErrorAbout } from '../errors.js';
import { show } from './check.js';
import type { Config } from './config.js';
import { history, historyPolicy } from './history.js';
import { histories, namespaceNames, namespaces, policyFor, settingsFor } from './namespaces.js';
import { queuePolicy } from './queues.js';
import { mayHaveRooms, wholePattern } from './room-names.js';
import { workersOf } from './workers.js';

/** Names an option, or a part of it, and its value as given; null if the value alone is already wrong. */
export type Named = (
  name: keyof Config,
  within?: readonly string[],
  value?: unknown,
) => string | null;

type NumberName = { [K in keyof Config]: Config[K] extends number ? K : never }[keyof Config];

/** Pairs: the first must be at least the second plus `beside`, if `when` holds. */
const AT_LEAST: readonly (readonly [
  larger: NumberName,
  smaller: NumberName,
  why: string,
  beside?: (config: Config, least: number) => number,
  when?: (values: Config) => boolean,
])[] = [
  ['queueBytes', 'maxMessageBytes', 'one message has to fit, with its envelope', envelopeBytes],
  ['queueBytesTotal', 'queueBytes', 'one full queue has to fit, in each worker', ofOthers],
  ['historyBytes', 'maxMessageBytes', 'one message has to fit, as it is kept', keptBytes, keeps],
  [
    'historyBytesTotal',
    'historyBytes',
    'one full history has to fit, in each worker',
    ofOthers,
    keeps,
  ],
  ['stallAfterMs', 'lagAfterMs', 'a member lags before it stalls'],
  ['roomBacklogBytes', 'maxMessageBytes', 'one message has to fit'],
  ['maxBodyBytes', 'maxMessageBytes', 'one message has to fit'],
  ['maxHttpBodyBytes', 'maxMessageBytes', 'one message has to fit'],
  ['maxCommandBytes', 'maxRoomNameLength', 'a join of such a room has to fit', () => 100],
  ['shutdownGraceMs', 'drainMs', 'members are closed within the grace'],
];

/** Maximum bytes of a frame beside its data: field names, the room, a key of 200 characters, escaped. */
function envelopeBytes({ maxRoomNameLength }: Config): number {
  return 6 * (maxRoomNameLength + 200) + 200;
}

/** A total is divided by the number of workers. */
function ofOthers(config: Config, least: number): number {
  return (workersOf(config) - 1) * least;
}

/** Maximum bytes of an `auth` frame beside its token: its type and an id. */
const AUTH_ENVELOPE_BYTES = 256;

/** Whether there are keys to check tokens with. */
export function hasKeys({ tokenSecret, tokenKeyFile, jwksUrl }: Config): boolean {
  return tokenSecret.length + tokenKeyFile.length > 0 || jwksUrl !== '';
}

/** Maximum bytes stored with a message beside its data: as many bytes again (`broker/history.ts`). */
function keptBytes({ maxMessageBytes }: Config): number {
  return maxMessageBytes + 2000;
}

function keeps({ historyMessages }: Pick<Config, 'historyMessages'>): boolean {
  return historyMessages > 0;
}

/**
 * All faults that concern more than one option. `named` returns an option with its value as it was given,
 * or null if the value is bad by itself; relations with such an option are not checked.
 */
export function checkTogether(config: Config, named: Named): ConfigError[] {
  const errors = new Map<string, ConfigError>();
  const wrong = (message: string, about: Omit<ConfigErrorAbout, 'code'>) =>
    errors.set(message, new ConfigError(message, { code: 'unfit_options', ...about }));
  for (const namespace of namespaceNames(config)) {
    const own = config.namespaces[namespace] ?? {};
    const values = { ...config, ...own };
    const label = (name: NumberName) =>
      Object.hasOwn(own, name) ? named('namespaces', [namespace, name], values[name]) : named(name);
    for (const [larger, smaller, why, beside, when] of AT_LEAST) {
      if (when?.(values) === false) continue;
      const least = values[smaller] + (beside?.(config, values[smaller]) ?? 0);
      if (values[larger] >= least) continue;
      const [one, other] = [label(larger), label(smaller)];
      if (one === null || other === null) continue;
      wrong(`${one} is not allowed with ${other}: ${why}, give at least ${least}`, {
        option: larger,
        value: values[larger],
        allowed: `at least ${least}`,
      });
    }
  }
  for (const limit of ['maxConnections', 'maxRooms'] as const) {
    const count = workersOf(config);
    if (config[limit] === 0 || config[limit] >= count) continue;
    const [one, other] = [named(limit), named('workers')];
    if (one === null || other === null) continue;
    const allowed = `at least ${count}`;
    wrong(`${one} is not allowed with ${other}: it is divided by the workers, give ${allowed}`, {
      option: limit,
      value: config[limit],
      allowed,
    });
  }
  const { tlsCert, tlsKey } = config;
  if ((tlsCert === '') !== (tlsKey === '')) {
    const [given, missing] =
      tlsCert === '' ? (['tlsKey', 'tlsCert'] as const) : (['tlsCert', 'tlsKey'] as const);
    const [one, other] = [named(given), named(missing)];
    if (one !== null && other !== null) {
      const allowed = 'both of them, or none';
      wrong(`${one} is not allowed with ${other}: give ${allowed}`, {
        option: given,
        value: config[given],
        allowed,
      });
    }
  }
  if (config.proxyProtocol && config.trustProxy.length === 0 && config.unixSocket === '') {
    const [one, other] = [named('proxyProtocol'), named('trustProxy')];
    if (one !== null && other !== null) {
      const allowed = 'the addresses of the proxies that send the header';
      wrong(`${one} is not allowed with ${other}: no proxy would be trusted, give ${allowed}`, {
        option: 'trustProxy',
        value: config.trustProxy,
        allowed,
      });
    }
  }
  if (config.broker === 'redis' && config.redisUrl === '') {
    const [one, other] = [named('broker'), named('redisUrl')];
    if (one !== null && other !== null) {
      const allowed = 'the address of the Redis, like redis://127.0.0.1';
      wrong(`${one} is not allowed with ${other}: give ${allowed}`, {
        option: 'redisUrl',
        allowed,
      });
    }
  }
  const { jwksUrl, tokenAudience, maxTokenBytes, maxMessageBytes } = config;
  if (jwksUrl !== '' && tokenAudience.length === 0) {
    const [one, other] = [named('jwksUrl'), named('tokenAudience')];
    if (one !== null && other !== null) {
      const allowed = 'the audience of its tokens for this server';
      wrong(
        `${one} is not allowed with ${other}: its keys may also sign tokens for other services, give ${allowed}`,
        { option: 'tokenAudience', value: tokenAudience, allowed },
      );
    }
  }
  if (hasKeys(config) && maxMessageBytes < maxTokenBytes + AUTH_ENVELOPE_BYTES) {
    const [one, other] = [named('maxMessageBytes'), named('maxTokenBytes')];
    const least = maxTokenBytes + AUTH_ENVELOPE_BYTES;
    if (one !== null && other !== null) {
      wrong(`${one} is not allowed with ${other}: a token has to fit, give at least ${least}`, {
        option: 'maxMessageBytes',
        value: maxMessageBytes,
        allowed: `at least ${least}`,
      });
    }
  }
  const pattern = wholePattern(config.roomNamePattern);
  for (const namespace of Object.keys(config.namespaces)) {
    if (mayHaveRooms(namespace, pattern, config) !== false) continue;
    const given = named('namespaces', [namespace], namespace);
    if (given === null || named('roomNamePattern') === null || named('maxRoomNameLength') === null)
      continue;
    wrong(
      `${given} is not allowed: no room's name can begin with ${show(`${namespace}:`)}, by roomNamePattern ${show(config.roomNamePattern)} and maxRoomNameLength ${config.maxRoomNameLength}`,
      { option: 'namespaces', value: namespace },
    );
  }
  return [...errors.values()];
}

/** Warnings for options that are allowed but have no effect, one line each, for the log. */
export function warningsOf(config: Config): string[] {
  const warnings: string[] = [];
  const pattern = wholePattern(config.roomNamePattern);
  for (const namespace of Object.keys(config.namespaces)) {
    if (mayHaveRooms(namespace, pattern, config) === null) {
      warnings.push(
        `namespaces ${show(namespace)} may match no room: none of the names tried matches roomNamePattern`,
      );
    }
  }
  if (config.broker !== 'redis' && config.redisUrl !== '') {
    warnings.push('redisUrl has no effect: the broker is not redis');
  }
  if (config.broker === 'redis' && config.historyBytesTotal !== history.historyBytesTotal.default) {
    warnings.push(
      'historyBytesTotal has no effect: the maxmemory of Redis bounds the history of all rooms',
    );
  }
  const policies = Array.from(namespaces(config).values(), ({ policy }) => policy);
  for (const [namespace, own] of Object.entries(config.namespaces)) {
    if (own.disconnectGraceMs === undefined) continue;
    if (policyFor(config, namespace).policy === 'disconnect') continue;
    warnings.push(`namespaces ${show(namespace)} disconnectGraceMs has no effect: ${WITHOUT}`);
  }
  if (
    config.disconnectGraceMs !== queuePolicy.disconnectGraceMs.default &&
    !policies.includes('disconnect')
  ) {
    warnings.push(`disconnectGraceMs has no effect: ${WITHOUT}`);
  }
  const bounds = ['historyBytes', 'historyMs'] as const;
  const kept = Array.from(histories(config).values()).some(keeps);
  for (const name of bounds) {
    if (config[name] === historyPolicy[name].default || kept) continue;
    warnings.push(`${name} has no effect: ${NOTHING_KEPT}`);
  }
  for (const [namespace, own] of Object.entries(config.namespaces)) {
    if (keeps(settingsFor(config, namespace, historyPolicy))) continue;
    for (const name of bounds) {
      if (own[name] === undefined) continue;
      warnings.push(`namespaces ${show(namespace)} ${name} has no effect: ${NOTHING_KEPT}`);
    }
  }
  return warnings;
}

const WITHOUT = 'the policy is not disconnect';
const NOTHING_KEPT = 'historyMessages is 0';
