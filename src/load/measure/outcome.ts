/**
 * Makes a run's result of what was counted: cuts the phases out of the timeline and works out the
 * figures per phase. Not here: whether they are good (verdict.ts).
 */

import type { Plan } from '../plan.js';
import type { Merge } from './merge.js';
import type { PhaseResult, RunResult, Second, ServerSample } from './result.js';

/** A second that is shorter by more than this was cut off, and its counts would look like a dip. */
const SLACK_SECONDS = 0.05;

/** What a run leaves behind. */
export interface Ran {
  readonly plan: Plan;
  readonly merge: Merge;
  readonly startedAt: string;
  /** Seconds that the phases ran. */
  readonly ran: number;
  readonly interrupted: boolean;
  /** By room: the number of its last message; null when the target does not number. */
  readonly finals: readonly (readonly [room: number, seq: number])[] | null;
  readonly server: RunResult['server'];
}

export function outcome({ plan, merge, ran, ...rest }: Ran): RunResult {
  const planned = plan.phases.reduce((sum, { ms }) => sum + ms / 1000, 0);
  const length = Math.min(ran, planned);
  let end = 0;
  const spans = plan.phases.map(({ name, ms }) => {
    const from = Math.min(end, length);
    end += ms / 1000;
    return { name, from, to: Math.min(end, length) };
  });
  const cohorts = merge.cohorts(spans.map(({ from, to }) => to - from));
  const healthy = cohorts[0]!.phases;
  const [calm, slow] = [healthy.calm?.latency.p99, healthy.slow?.latency.p99];
  return {
    startedAt: rest.startedAt,
    interrupted: rest.interrupted,
    phases: spans
      .filter(({ from, to }) => to > from)
      .map((span) => {
        const delivered = cohorts.reduce(
          (sum, { phases }) => sum + (phases[span.name]?.latency.count ?? 0),
          0,
        );
        return phaseResult(span, merge.seconds, rest.server.samples, delivered);
      }),
    cohorts,
    publishing: {
      ...merge.publishing(),
      offered: plan.rate === null ? null : Math.floor(plan.rate * length),
      accepted: accepted(plan, rest.finals),
      lateness: merge.lateness(),
    },
    timeline: merge.seconds.filter(({ at }) => at <= length + SLACK_SECONDS),
    server: rest.server,
    isolation: calm && slow ? slow / calm : null,
  };
}

/** Messages that got a number: rooms are the run's own and count from 1. */
function accepted(plan: Plan, finals: Ran['finals']): number | null {
  if (finals === null || finals.length < plan.rooms) return null;
  return finals.reduce((sum, [, seq]) => sum + seq, 0);
}

function phaseResult(
  span: Pick<PhaseResult, 'name' | 'from' | 'to'>,
  seconds: readonly Second[],
  samples: readonly ServerSample[],
  delivered: number,
): PhaseResult {
  const rows = seconds.filter(({ at }) => at > span.from && at - 1 < span.to);
  const within = samples.filter(({ at }) => at > span.from && at <= span.to + 0.5);
  const [first, last] = [within[0], within.at(-1)];
  const difference = (key: 'cpuSeconds' | 'cpuWaitSeconds' | 'rssBytes'): number | null => {
    const [from, to] = [first?.[key], last?.[key]];
    return typeof from === 'number' && typeof to === 'number' ? to - from : null;
  };
  const worst = (key: 'lockHoldP99' | 'loopDelayP99'): number | null => {
    const values = within.map((sample) => sample[key]).filter((value) => value !== null);
    return values.length === 0 ? null : Math.max(...values);
  };
  const watched = (last?.at ?? 0) - (first?.at ?? 0);
  const rate = (total: number | null): number | null =>
    total === null || watched <= 0 ? null : total / watched;
  const cores = rate(difference('cpuSeconds'));
  const perSecond = delivered / (span.to - span.from);
  return {
    ...span,
    utilization: Math.max(0, mean(rows.map(({ utilization }) => utilization))),
    loopDelayP99: Math.max(0, ...rows.map(({ loopDelayP99 }) => loopDelayP99)),
    loopDelayMax: Math.max(0, ...rows.map(({ loopDelayMax }) => loopDelayMax)),
    cpuCores: cores,
    cpuWait: rate(difference('cpuWaitSeconds')),
    cpuMicrosPerDelivery: cores === null || delivered === 0 ? null : (cores / perSecond) * 1e6,
    lockHoldP99: worst('lockHoldP99'),
    loopDelayServerP99: worst('loopDelayP99'),
    rssGrowthBytes: difference('rssBytes'),
  };
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}
