/** What both a panel draws and an alert judges. The thresholds are in `thresholds.ts`. */
import { max, quantile, rate, type Scope, select, sum } from './promql.js';

/** Seconds from publish to kernel that 99 % of deliveries to healthy members stay under. */
export const healthyP99 = (scope: Scope) =>
  quantile(scope, 0.99, 'deliverySeconds', { where: ['consumer="healthy"'] });

export const members = (scope: Scope) => sum(scope, [], select(scope, 'members'));

export const slowMembers = (scope: Scope) => sum(scope, [], select(scope, 'slowMembers'));

export const slowRatio = (scope: Scope) => `${slowMembers(scope)} / ${members(scope)}`;

export const lockHoldP99 = (scope: Scope) =>
  quantile(scope, 0.99, 'lockHoldSeconds', { by: ['lock'] });

/** Seconds a lock was held in a second. */
export const lockUtilisation = (scope: Scope) =>
  sum(scope, ['lock'], rate(scope, 'lockHoldSeconds', { suffix: '_sum' }));

export const deadlockedTasks = (scope: Scope) =>
  sum(scope, [], select(scope, 'lockDeadlockedTasks'));

export const queueRatio = (scope: Scope) =>
  max(scope, [], `${select(scope, 'queueBytes')} / ${select(scope, 'queueLimitBytes')}`);

export const evictionRatio = (scope: Scope) =>
  `${sum(scope, [], rate(scope, 'evicted'))} / ${members(scope)}`;

export const dropRatio = (scope: Scope) =>
  `${sum(scope, [], rate(scope, 'dropped'))} / (${sum(scope, [], rate(scope, 'fannedOut'))} > 0)`;

export const eventLoopLagP99 = (scope: Scope) =>
  max(scope, [], select(scope, 'nodejsEventLoopLagP99Seconds'));

export const churnRatio = (scope: Scope) =>
  `(${sum(scope, [], rate(scope, 'opened'))} + ${sum(scope, [], rate(scope, 'closed'))}) / ${members(scope)}`;

/** What was fanned out and is in none of the accounts: V10 says that this is 0 at any scrape. */
export const accountingDifference = (scope: Scope) =>
  [
    sum(scope, [], select(scope, 'fannedOut')),
    sum(scope, [], select(scope, 'delivered')),
    sum(scope, [], select(scope, 'dropped')),
    sum(scope, [], select(scope, 'abandoned')),
    sum(scope, [], select(scope, 'queueMessages')),
  ].join(' - ');
