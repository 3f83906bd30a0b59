/**
 * The charts of a run: which figures each shows, over which axis. Not here: drawing (browser.ts).
 */
import { CURVE, type RunResult, type Second } from '../measure/result.js';
import type { ChartData, Series } from './chart.js';

/** Longer timelines are thinned to this many points, each showing the worst of the points it replaces. */
const POINTS_MAX = 150;

/** Charts of what members experienced. */
export function latencyCharts(run: RunResult): ChartData[] {
  return [percentiles(run), latencyTimeline(run), deliveries(run)].flatMap(withValues);
}

/** Removes series without values; removes the chart if none is left. */
function withValues(chart: ChartData): ChartData[] {
  const series = chart.series.filter(({ values }) => values.some((value) => value !== null));
  return series.length === 0 ? [] : [{ ...chart, series }];
}

function percentiles(run: RunResult): ChartData {
  const decades = (percentile: number): number => -Math.log10(1 - percentile / 100);
  const series = run.cohorts.flatMap((cohort, i) =>
    (['calm', 'slow'] as const).flatMap((phase): Series[] => {
      const latency = cohort.phases[phase]?.latency;
      if (!latency || (i > 0 && phase === 'calm')) return [];
      const values = latency.curve.map((value, p) =>
        (1 - CURVE[p]! / 100) * latency.count >= 1 ? value : null,
      );
      const dashed = i === 0 && phase === 'calm' && run.cohorts[0]!.phases.slow !== undefined;
      return [{ name: `${cohort.name}, ${phase}`, colour: colour(i), dashed, values }];
    }),
  );
  const ticks = [0, 90, 99, 99.9, 99.99].map((p) => ({ at: decades(p), label: `${p} %` }));
  return {
    title: 'Latency by percentile',
    caption:
      'From the moment a message was due. Where the lines coincide, slow members cost the others nothing.',
    over: 'percentiles',
    x: { values: CURVE.map(decades), ticks, labels: CURVE.map((each) => `${round(each)} %`) },
    y: { scale: 'log', unit: 'micros' },
    series,
  };
}

function latencyTimeline(run: RunResult): ChartData {
  const points = thin(run.timeline.length);
  const at = (i: number, key: 'p50' | 'p99') => (from: number, to: number) =>
    most(run.timeline.slice(from, to).map(({ cohorts }) => cohorts[i]![key]));
  return {
    title: 'Latency over time',
    caption: 'p99 of each cohort by the second of arrival, and the median of the healthy.',
    ...timeAxis(run, points),
    y: { scale: 'log', unit: 'micros' },
    series: [
      {
        name: 'healthy p50',
        colour: colour(0),
        dashed: true,
        values: points.map((p) => at(0, 'p50')(...p)),
      },
      ...run.cohorts.map(({ name }, i) => ({
        name: `${name} p99`,
        colour: colour(i),
        values: points.map((p) => at(i, 'p99')(...p)),
      })),
    ],
  };
}

/** Messages per second that a member of a cohort received, averaged over `seconds`; null without any. */
export function receivedByMember(
  run: RunResult,
  cohort: number,
  seconds: readonly Second[],
): number | null {
  if (seconds.length === 0) return null;
  const sum = seconds.reduce((total, { cohorts }) => total + cohorts[cohort]!.delivered, 0);
  return sum / seconds.length / run.cohorts[cohort]!.members;
}

function deliveries(run: RunResult): ChartData {
  const points = thin(run.timeline.length);
  return {
    title: 'Messages received by a member',
    caption: 'Per second and member, by cohort. The healthy line should not move.',
    ...timeAxis(run, points),
    y: { scale: 'linear', unit: 'count' },
    series: run.cohorts.map(({ name }, i) => ({
      name,
      colour: colour(i),
      values: points.map((point) => receivedByMember(run, i, run.timeline.slice(...point))),
    })),
  };
}

/** Charts of the server; none if nothing is known of it. */
export function serverCharts(run: RunResult): ChartData[] {
  const within = run.server.samples.filter(({ at }) => at > 0);
  if (within.length < 2) return [];
  const points = thin(within.length);
  type Key = Exclude<keyof (typeof within)[number], 'at'>;
  const line = (name: string, key: Key, i: number): Series => ({
    name,
    colour: colour(i),
    values: points.map(([from, to]) => most(within.slice(from, to).map((sample) => sample[key]))),
  });
  const x = timeAxis(
    run,
    points,
    within.map(({ at }) => at),
  );
  const all: ChartData[] = [
    {
      title: 'CPU',
      caption: 'Cores the server used.',
      ...x,
      y: { scale: 'linear', unit: 'cores' },
      series: [line('cores', 'cpuCores', 0)],
    },
    {
      title: 'Memory',
      caption: 'Resident memory, and how much of it the queues of all members hold.',
      ...x,
      y: { scale: 'linear', unit: 'bytes' },
      series: [line('resident', 'rssBytes', 0), line('queues', 'queueBytes', 1)],
    },
    {
      title: 'Holds and delays inside the server',
      caption:
        'p99 of each second: lock holds, event loop delay, and delivery to healthy members as the server measures it.',
      ...x,
      y: { scale: 'log', unit: 'micros' },
      series: [
        line('lock hold', 'lockHoldP99', 0),
        line('event loop', 'loopDelayP99', 1),
        line('delivery', 'deliveryP99', 3),
      ],
    },
  ];
  return all.flatMap(withValues);
}

/** Ranges of rows that are combined into one point each. */
function thin(rows: number): [number, number][] {
  const size = Math.max(1, Math.ceil(rows / POINTS_MAX));
  return Array.from({ length: Math.ceil(rows / size) }, (_, i) => [i * size, (i + 1) * size]);
}

function timeAxis(
  run: RunResult,
  points: readonly [number, number][],
  times: readonly number[] = run.timeline.map(({ at }) => at),
): Pick<ChartData, 'over' | 'x' | 'bands'> {
  const values = points.map(([, to]) => times[Math.min(to, times.length) - 1]!);
  const last = values.at(-1) ?? 1;
  const step = niceStep(last / 6);
  const first = values[0] ?? 0;
  const ticks = Array.from({ length: Math.floor(last / step) + 1 }, (_, i) => i * step)
    .filter((at) => at >= first)
    .map((at) => ({ at, label: `${round(at)} s` }));
  const phaseAt = (at: number): string =>
    run.phases.find(({ from, to }) => at - 0.5 >= from && at - 0.5 < to)?.name ?? '';
  const slow = run.phases.filter(
    ({ name }) => (name === 'fill' || name === 'slow') && run.cohorts.length > 1,
  );
  return {
    over: 'time',
    x: { values, ticks, labels: values.map((at) => `${round(at)} s, ${phaseAt(at)}`) },
    bands: slow.map(({ from, to, name }) => ({ from, to, label: name })),
  };
}

function most(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : Math.max(...known);
}

/** Colours of cohorts in order; the seventh and later ones share one. */
export function colour(cohort: number): string {
  return `c${Math.min(cohort, 6)}`;
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

/** The next value of 1, 2, 2.5 or 5 times a power of ten. */
export function niceStep(rough: number): number {
  if (rough <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const factor = [1, 2, 2.5, 5, 10].find((f) => f * power >= rough) ?? 10;
  return factor * power;
}
