/**
 * Whether options fit to each other, and which have no effect beside the others. What two of them have
 * to do with each other is one line of `AT_LEAST`.
 *
 * Not here: whether a value is allowed by itself (`check.ts`).
 */
import { ConfigError, type ConfigErrorAbout } from '../errors.js';
import { show } from './check.js';
import type { Config } from './config.js';
import { namespaces, policyFor } from './namespaces.js';
import { queuePolicy } from './queues.js';
import { mayHaveRooms, wholePattern } from './room-names.js';

/** An option and its value, or what stands within it, the way it was set. */
export type Named = (
  name: keyof Config,
  within?: readonly string[],
  value?: unknown,
) => string | null;

type NumberName = { [K in keyof Config]: Config[K] extends number ? K : never }[keyof Config];

/** Pairs of which the first may not be less than the second, or less than that and `beside`. */
const AT_LEAST: readonly (readonly [
  larger: NumberName,
  smaller: NumberName,
  why: string,
  beside?: (config: Config) => number,
])[] = [
  ['queueBytes', 'maxMessageBytes', 'one message has to fit, with its envelope', envelopeBytes],
  ['queueBytesTotal', 'queueBytes', 'one full queue has to fit'],
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

/**
 * What no option can say about itself. `named` gives an option and its value as the user set it, or
 * null where the value is wrong by itself, so that nothing can be said of it here.
 */
export function checkTogether(config: Config, named: Named): ConfigError[] {
  const errors = new Map<string, ConfigError>();
  const wrong = (message: string, about: Omit<ConfigErrorAbout, 'code'>) =>
    errors.set(message, new ConfigError(message, { code: 'unfit_options', ...about }));
  for (const [namespace, policy] of namespaces(config)) {
    const own = config.namespaces[namespace] ?? {};
    const values = { ...config, ...policy };
    const label = (name: NumberName) =>
      Object.hasOwn(own, name) ? named('namespaces', [namespace, name], values[name]) : named(name);
    for (const [larger, smaller, why, beside] of AT_LEAST) {
      const least = values[smaller] + (beside?.(config) ?? 0);
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
  return warnings;
}

const WITHOUT = 'the policy is not disconnect';
