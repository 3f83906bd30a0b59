/** Expressions used by both panels and alerts. Thresholds are in `thresholds.ts`. */
import type { RefusalCode } from '../../src/errors.js';
import { max, quantile, rate, type Scope, select, sum } from './promql.js';

/** p99 of the time from publish to kernel, in seconds, for deliveries to healthy members. */
export const healthyP99 = (scope: Scope) =>
  quantile(scope, 0.99, 'deliverySeconds', { where: ['consumer="healthy"'] });

export const members = (scope: Scope) => sum(scope, [], select(scope, 'members'));

export const slowMembers = (scope: Scope) => sum(scope, [], select(scope, 'slowMembers'));

export const slowRatio = (scope: Scope) => `${slowMembers(scope)} / ${members(scope)}`;

export const lockHoldP99 = (scope: Scope) =>
  quantile(scope, 0.99, 'lockHoldSeconds', { by: ['lock'] });

/**
 * Excludes `room.lifecycle`, which is held during broker calls. No other lock may be held while waiting.
 */
export const shortLockHoldP99 = (scope: Scope) =>
  quantile(scope, 0.99, 'lockHoldSeconds', {
    by: ['lock'],
    where: ['lock!="room.lifecycle"'],
  });

/** Seconds per second that tasks wait because another holds the lock. */
export const lockBlocked = (scope: Scope) =>
  sum(scope, ['lock'], rate(scope, 'lockBlockedSeconds'));

export const deadlockedTasks = (scope: Scope) =>
  sum(scope, [], select(scope, 'lockDeadlockedTasks'));

export const queueRatio = (scope: Scope) =>
  max(scope, [], `${select(scope, 'queueBytes')} / ${select(scope, 'queueLimitBytes')}`);

export const evictionRatio = (scope: Scope) => `${evictions(scope)} / ${members(scope)}`;

/** Excludes conflation, which is the room's policy and not a loss. */
const lost = (scope: Scope) => rate(scope, 'dropped', { where: ['reason!="conflated"'] });

export const drops = (scope: Scope) => sum(scope, [], lost(scope));

export const dropRatio = (scope: Scope) =>
  `${drops(scope)} / (${sum(scope, [], rate(scope, 'fannedOut'))} > 0)`;

export const eventLoopLagP99 = (scope: Scope) =>
  max(scope, [], select(scope, 'nodejsEventLoopLagP99Seconds'));

export const evictions = (scope: Scope) => sum(scope, [], rate(scope, 'evicted'));

/** Connections opened plus closed, per second. */
export const churn = (scope: Scope) =>
  `(${sum(scope, [], rate(scope, 'opened'))} + ${sum(scope, [], rate(scope, 'closed'))})`;

export const churnRatio = (scope: Scope) => `${churn(scope)} / ${members(scope)}`;

/** Process restarts in 15 minutes. */
export const restarts = (scope: Scope) =>
  sum(scope, [], `changes(${select(scope, 'processStartTimeSeconds')}[15m])`);

/** Connections per second rejected at the connection limit. */
export const turnedAway = (scope: Scope) =>
  sum(scope, [], rate(scope, 'closed', { where: ['reason="over_capacity"'] }));

export const descriptorRatio = (scope: Scope) =>
  max(scope, [], `${select(scope, 'processOpenFds')} / ${select(scope, 'processMaxFds')}`);

/** Commands and HTTP requests per second refused with this code. */
export const refusedAs = (scope: Scope, code: RefusalCode) =>
  sum(scope, [], rate(scope, 'refused', { where: [`code="${code}"`] }));

/** Messages fanned out and not accounted for. V10: 0 at any scrape. */
export const accountingDifference = (scope: Scope) =>
  [
    sum(scope, [], select(scope, 'fannedOut')),
    sum(scope, [], select(scope, 'delivered')),
    sum(scope, [], select(scope, 'dropped')),
    sum(scope, [], select(scope, 'abandoned')),
    sum(scope, [], select(scope, 'queueMessages')),
  ].join(' - ');

/** Connected members, as a ratio of the limit. */
export const connectionRatio = (scope: Scope) =>
  `${members(scope)} / ${sum(scope, [], select(scope, 'connectionsMax'))}`;

export const roomRatio = (scope: Scope) =>
  `${sum(scope, [], select(scope, 'rooms'))} / ${sum(scope, [], select(scope, 'roomsMax'))}`;

export const historyRatio = (scope: Scope) =>
  max(scope, [], `${select(scope, 'historyBytes')} / (${select(scope, 'historyLimitBytes')} > 0)`);

/** Partial recoveries, as a ratio of all joins with `since` or `last`. */
export const partialRatio = (scope: Scope) =>
  `${sum(scope, [], rate(scope, 'recoveries', { where: ['result="partial"'] }))} / (${recoveries(scope)} > 0)`;

const recoveries = (scope: Scope) => sum(scope, [], rate(scope, 'recoveries'));

export const historyMessages = (scope: Scope) => sum(scope, [], select(scope, 'historyMessages'));

export const keySourcesDown = (scope: Scope) => sum(scope, [], select(scope, 'keySourcesDown'));

export const keyFetchesFailed = (scope: Scope) =>
  sum(scope, [], rate(scope, 'keyFetches', { where: ['result="failed"'] }));

/** Invalid tokens per second. */
export const invalidTokens = (scope: Scope) =>
  sum(scope, [], rate(scope, 'authentications', { where: ['result="token_invalid"'] }));

export const tokensInvalid = (scope: Scope) =>
  `${invalidTokens(scope)} / (${sum(scope, [], rate(scope, 'authentications'))} > 0)`;

export const expiries = (scope: Scope) => sum(scope, [], rate(scope, 'tokensExpired'));

export const expiryRatio = (scope: Scope) => `${expiries(scope)} / (${members(scope)} > 0)`;

export const appChecksFailed = (scope: Scope) => sum(scope, [], rate(scope, 'appChecksFailed'));

/** Processes whose broker is not up. */
export const brokerNotUp = (scope: Scope) =>
  sum(scope, [], select(scope, 'brokerState', { where: ['state!="up"'] }));

/** Rate per second. */
export const counted = (scope: Scope, key: 'brokerLost' | 'brokerUncertain' | 'brokerResets') =>
  sum(scope, [], rate(scope, key));

export const brokerLag = (scope: Scope) => max(scope, [], select(scope, 'redisTickLagSeconds'));

/** The larger of the two ratios, by messages and by bytes. */
export const brokerBacklog = (scope: Scope) =>
  [
    ['redisUnsettled', 'redisUnsettledMax'] as const,
    ['redisUnsettledBytes', 'redisUnsettledLimitBytes'] as const,
  ]
    .map(([key, bound]) => `${select(scope, key)} / (${select(scope, bound)} > 0)`)
    .reduce((messages, bytes) => max(scope, [], `(${messages}) > (${bytes}) or (${bytes})`));

export const staleWorkers = (scope: Scope) => sum(scope, [], select(scope, 'workersStale'));

export const missingWorkers = (scope: Scope) => sum(scope, [], select(scope, 'workersMissing'));

/** Workers replaced in 15 minutes because they had ended. */
export const workerRestarts = (scope: Scope) =>
  sum(scope, [], `increase(${select(scope, 'workerRestarts')}[15m])`);

/** Sum over all links of a server, so at least as high as its fullest link. */
export const meshQueueBytes = (scope: Scope) => sum(scope, [], select(scope, 'meshQueueBytes'));

export const meshLost = (scope: Scope) => sum(scope, [], rate(scope, 'meshLost'));

export const collectorErrors = (scope: Scope) =>
  sum(scope, ['collector'], rate(scope, 'collectorErrors'));
