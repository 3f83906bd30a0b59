/**
 * Whether options fit to each other, and which have no effect beside the others. What two of them have
 * to do with each other is one line of `AT_LEAST`.
 *
 * Not here: whether a value is allowed by itself (`check.ts`).
 */
import { ConfigError, type ConfigErrorAbout } from '../errors.js';
import { show } from './check.js';
import type { Config } from './config.js';
import { history, historyPolicy } from './history.js';
import { histories, namespaceNames, namespaces, policyFor, settingsFor } from './namespaces.js';
import { queuePolicy } from './queues.js';
import { mayHaveRooms, wholePattern } from './room-names.js';
import { workersOf } from './workers.js';

/** An option and its value, or what stands within it, the way it was set. */
export type Named = (
  name: keyof Config,
  within?: readonly string[],
  value?: unknown,
) => string | null;

type NumberName = { [K in keyof Config]: Config[K] extends number ? K : never }[keyof Config];

/** Pairs of which the first may not be less than the second, or less than that and `beside`; where `when` holds. */
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
  ['shutdownGraceMs', 'drainMs', 'members are told to go within the grace'],
];

/** What a message is sent with beside its data, at most: the room, and a key of 200, in escapes; names. */
function envelopeBytes({ maxRoomNameLength }: Config): number {
  return 6 * (maxRoomNameLength + 200) + 200;
}

/** A bound of all is divided by the workers. */
function ofOthers(config: Config, least: number): number {
  return (workersOf(config) - 1) * least;
}

/** What an `auth` frame has beside its token, at most: its type and an id. */
const AUTH_ENVELOPE_BYTES = 256;

/** Whether tokens can be checked. */
export function hasKeys({ tokenSecret, tokenKeyFile, jwksUrl }: Config): boolean {
  return tokenSecret.length + tokenKeyFile.length > 0 || jwksUrl !== '';
}

/** What a message is kept with beside its data, at most: as many bytes again (`broker/history.ts`). */
function keptBytes({ maxMessageBytes }: Config): number {
  return maxMessageBytes + 2000;
}

function keeps({ historyMessages }: Pick<Config, 'historyMessages'>): boolean {
  return historyMessages > 0;
}

/**
 * What no option can say about itself. `named` gives an option and its value as the user set it, or
 * null where the value is wrong by itself, so that nothing can be said of it here.
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
      wrong(`${one} is not allowed with ${other}: nobody would be believed, give ${allowed}`, {
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
      const allowed = 'the audience that its tokens for this server have';
      wrong(
        `${one} is not allowed with ${other}: whoever has keys there signs tokens for others too, give ${allowed}`,
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

/** What is allowed and yet has no effect, one line each, for the log. */
export function warningsOf(config: Config): string[] {
  const warnings: string[] = [];
  const pattern = wholePattern(config.roomNamePattern);
  for (const namespace of Object.keys(config.namespaces)) {
    if (mayHaveRooms(namespace, pattern, config) === null) {
      warnings.push(
        `namespaces ${show(namespace)} may have no room: no name tried with it matches roomNamePattern`,
      );
    }
  }
  if (config.broker !== 'redis' && config.redisUrl !== '') {
    warnings.push('redisUrl has no effect: the broker is not redis');
  }
  if (config.broker === 'redis' && config.historyBytesTotal !== history.historyBytesTotal.default) {
    warnings.push('historyBytesTotal has no effect: with Redis its own maxmemory bounds all rooms');
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
