/** What both a panel draws and an alert judges. The thresholds are in `thresholds.ts`. */
import type { RefusalCode } from '../../src/errors.js';
import { max, quantile, rate, type Scope, select, sum } from './promql.js';

/** Seconds from publish to kernel that 99 % of deliveries to healthy members stay under. */
export const healthyP99 = (scope: Scope) =>
  quantile(scope, 0.99, 'deliverySeconds', { where: ['consumer="healthy"'] });

export const members = (scope: Scope) => sum(scope, [], select(scope, 'members'));

export const slowMembers = (scope: Scope) => sum(scope, [], select(scope, 'slowMembers'));

export const slowRatio = (scope: Scope) => `${slowMembers(scope)} / ${members(scope)}`;

export const lockHoldP99 = (scope: Scope) =>
  quantile(scope, 0.99, 'lockHoldSeconds', { by: ['lock'] });

/** Of locks that nothing may be waited for under: `room.lifecycle` is held while the broker is asked. */
export const shortLockHoldP99 = (scope: Scope) =>
  quantile(scope, 0.99, 'lockHoldSeconds', {
    by: ['lock'],
    where: ['lock!="room.lifecycle"'],
  });

/** Seconds that others lost in a second, because somebody held the lock. */
export const lockBlocked = (scope: Scope) =>
  sum(scope, ['lock'], rate(scope, 'lockBlockedSeconds'));

export const deadlockedTasks = (scope: Scope) =>
  sum(scope, [], select(scope, 'lockDeadlockedTasks'));

export const queueRatio = (scope: Scope) =>
  max(scope, [], `${select(scope, 'queueBytes')} / ${select(scope, 'queueLimitBytes')}`);

export const evictionRatio = (scope: Scope) => `${evictions(scope)} / ${members(scope)}`;

/** Conflation is the policy at work: the newest value of a key was all that was asked for. */
const lost = (scope: Scope) => rate(scope, 'dropped', { where: ['reason!="conflated"'] });

export const drops = (scope: Scope) => sum(scope, [], lost(scope));

export const dropRatio = (scope: Scope) =>
  `${drops(scope)} / (${sum(scope, [], rate(scope, 'fannedOut'))} > 0)`;

export const eventLoopLagP99 = (scope: Scope) =>
  max(scope, [], select(scope, 'nodejsEventLoopLagP99Seconds'));

export const evictions = (scope: Scope) => sum(scope, [], rate(scope, 'evicted'));

/** Connections opened and closed in a second. */
export const churn = (scope: Scope) =>
  `(${sum(scope, [], rate(scope, 'opened'))} + ${sum(scope, [], rate(scope, 'closed'))})`;

export const churnRatio = (scope: Scope) => `${churn(scope)} / ${members(scope)}`;

/** How often the process began anew in a quarter of an hour. */
export const restarts = (scope: Scope) =>
  sum(scope, [], `changes(${select(scope, 'processStartTimeSeconds')}[15m])`);

/** Connections a second that were told to go, because there are as many as may be. */
export const turnedAway = (scope: Scope) =>
  sum(scope, [], rate(scope, 'closed', { where: ['reason="over_capacity"'] }));

export const descriptorRatio = (scope: Scope) =>
  max(scope, [], `${select(scope, 'processOpenFds')} / ${select(scope, 'processMaxFds')}`);

/** Commands and requests a second that were refused with this code. */
export const refusedAs = (scope: Scope, code: RefusalCode) =>
  sum(scope, [], rate(scope, 'refused', { where: [`code="${code}"`] }));

/** What was fanned out and is in none of the accounts: V10 says that this is 0 at any scrape. */
export const accountingDifference = (scope: Scope) =>
  [
    sum(scope, [], select(scope, 'fannedOut')),
    sum(scope, [], select(scope, 'delivered')),
    sum(scope, [], select(scope, 'dropped')),
    sum(scope, [], select(scope, 'abandoned')),
    sum(scope, [], select(scope, 'queueMessages')),
  ].join(' - ');

/** Of what there may be. */
export const connectionRatio = (scope: Scope) =>
  `${members(scope)} / ${sum(scope, [], select(scope, 'connectionsMax'))}`;

export const roomRatio = (scope: Scope) =>
  `${sum(scope, [], select(scope, 'rooms'))} / ${sum(scope, [], select(scope, 'roomsMax'))}`;

export const historyRatio = (scope: Scope) =>
  max(scope, [], `${select(scope, 'historyBytes')} / (${select(scope, 'historyLimitBytes')} > 0)`);

/** Of the joins that came with a position or a wish, those for which not all was kept. */
export const partialRatio = (scope: Scope) =>
  `${sum(scope, [], rate(scope, 'recoveries', { where: ['result="partial"'] }))} / (${recoveries(scope)} > 0)`;

const recoveries = (scope: Scope) => sum(scope, [], rate(scope, 'recoveries'));

export const historyMessages = (scope: Scope) => sum(scope, [], select(scope, 'historyMessages'));

export const keySourcesDown = (scope: Scope) => sum(scope, [], select(scope, 'keySourcesDown'));

export const keyFetchesFailed = (scope: Scope) =>
  sum(scope, [], rate(scope, 'keyFetches', { where: ['result="failed"'] }));

/** Tokens a second that are not ours. */
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

/** A second. */
export const counted = (scope: Scope, key: 'brokerLost' | 'brokerUncertain' | 'brokerResets') =>
  sum(scope, [], rate(scope, key));

export const brokerLag = (scope: Scope) => max(scope, [], select(scope, 'redisTickLagSeconds'));

/** The fuller of the two bounds. */
export const brokerBacklog = (scope: Scope) =>
  [
    ['redisUnsettled', 'redisUnsettledMax'] as const,
    ['redisUnsettledBytes', 'redisUnsettledLimitBytes'] as const,
  ]
    .map(([key, bound]) => `${select(scope, key)} / (${select(scope, bound)} > 0)`)
    .reduce((messages, bytes) => max(scope, [], `(${messages}) > (${bytes}) or (${bytes})`));

export const staleWorkers = (scope: Scope) => sum(scope, [], select(scope, 'workersStale'));

export const missingWorkers = (scope: Scope) => sum(scope, [], select(scope, 'workersMissing'));

/** Workers that were replaced since they had ended, in a quarter of an hour. */
export const workerRestarts = (scope: Scope) =>
  sum(scope, [], `increase(${select(scope, 'workerRestarts')}[15m])`);

/** On all links of a server together: where one is half full, there is as much at least. */
export const meshQueueBytes = (scope: Scope) => sum(scope, [], select(scope, 'meshQueueBytes'));

export const meshLost = (scope: Scope) => sum(scope, [], rate(scope, 'meshLost'));

export const collectorErrors = (scope: Scope) =>
  sum(scope, ['collector'], rate(scope, 'collectorErrors'));
