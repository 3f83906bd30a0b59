/**
 * Builds a run's result from the merged counts: splits the timeline into phases and computes the figures
 * per phase. Not here: the verdict on them (verdict.ts).
 */

import type { Plan } from '../plan.js';
import { isolationOf } from './isolation.js';
import type { Merge } from './merge.js';
import type { Isolation, PhaseResult, RunResult, Second, ServerSample } from './result.js';

/** A second shorter by more than this was cut off; its counts would look like a dip. */
const SLACK_SECONDS = 0.05;

type Span = Pick<PhaseResult, 'name' | 'turn' | 'from' | 'to'>;

/** What is known at the end of a run. */
export interface Ran {
  readonly plan: Plan;
  readonly merge: Merge;
  readonly startedAt: string;
  /** Seconds for which the phases ran. */
  readonly ran: number;
  readonly interrupted: boolean;
  /** Why a worker was lost, or null. */
  readonly lost: string | null;
  readonly clockError: number | null;
  /** Messages that got a sequence number; null unless the last one of every publisher was confirmed. */
  readonly accepted: number | null;
  readonly confirmations: RunResult['publishing']['confirmations'];
  readonly server: RunResult['server'];
}

export function outcome({ plan, merge, ran, ...rest }: Ran): RunResult {
  const planned = plan.phases.reduce((sum, { ms }) => sum + ms / 1000, 0);
  const length = Math.min(ran, planned);
  let end = 0;
  const spans = plan.phases.map(({ name, turn, ms }) => {
    const from = Math.min(end, length);
    end += ms / 1000;
    return { name, turn, from, to: Math.min(end, length) };
  });
  const cohorts = merge.cohorts(spans.map(({ from, to }) => to - from));
  return {
    startedAt: rest.startedAt,
    interrupted: rest.interrupted,
    lost: rest.lost,
    clockError: rest.clockError,
    phases: spans.flatMap((span, phase) =>
      span.to > span.from
        ? [phaseResult(span, merge.seconds, rest.server.samples, merge.delivered(phase))]
        : [],
    ),
    cohorts,
    publishing: {
      ...merge.publishing(),
      offered: plan.rate === null ? null : Math.floor(plan.rate * length),
      accepted: rest.accepted,
      confirmations: rest.confirmations,
      lateness: merge.lateness(),
    },
    timeline: merge.seconds.filter(({ at }) => at <= length + SLACK_SECONDS),
    server: rest.server,
    isolation: isolationOf(turnsOf(plan.phases, spans, merge.healthyP99())),
  };
}

/**
 * The healthy p99 of each completed turn. Empty if one of them has no p99: a turn in which nothing
 * arrived must not be left out of a mean.
 */
function turnsOf(
  phases: Plan['phases'],
  spans: readonly Span[],
  p99: readonly (number | null)[],
): Isolation['turns'] {
  const turns: Isolation['turns'] = [];
  for (let turn = 1; turn <= Math.max(0, ...phases.map((phase) => phase.turn)); turn++) {
    const [calm, slow] = (['calm', 'slow'] as const).map((name) =>
      phases.findIndex((phase) => phase.turn === turn && phase.name === name),
    );
    if (calm === undefined || slow === undefined || calm < 0 || slow < 0) return [];
    const { from, to } = spans[slow]!;
    if (to - from < phases[slow]!.ms / 1000 - SLACK_SECONDS) break;
    const [before, during] = [p99[calm] ?? null, p99[slow] ?? null];
    if (before === null || during === null) return [];
    turns.push({ calm: before, slow: during });
  }
  return turns;
}

function phaseResult(
  span: Span,
  seconds: readonly Second[],
  samples: readonly ServerSample[],
  delivered: number,
): PhaseResult {
  const rows = seconds.filter(({ at }) => at > span.from && at - 1 < span.to);
  const waits = rows.map(({ cpuWait }) => cpuWait).filter((wait) => wait !== null);
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
    generatorCpuWait: waits.length === 0 ? null : mean(waits),
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
