/**
 * The report as one HTML file: no script, no request to anywhere, readable offline and when mailed.
 * Not here: how charts are drawn (chart.ts), what they look like (style.ts).
 */
import { CURVE, type RunResult } from '../result.js';
import { formatBytes, formatCount, formatDuration, formatMicros } from '../units.js';
import type { Check } from '../verdict.js';
import { type Chart, drawChart, escapeHtml, niceStep, type Series } from './chart.js';
import { formatFigure } from './figures.js';
import type { LoadReport } from './report.js';
import { STYLE } from './style.js';

/** More points than this are thinned out, each standing for the worst of those it replaces. */
const POINTS_MAX = 150;
const JUDGED = ['calm', 'slow', 'recover'] as const;

export function htmlReport(report: LoadReport): string {
  const { plan, runs, shown, verdict } = report;
  const run = runs[shown]!;
  const title = `${plan.scenario} on ${plan.target.name}`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escapeHtml(title)}: roomcast load</title>
<style>${STYLE}</style></head><body><main>
${header(report, run)}
${tiles(run)}
<h2>Latency</h2>
<div class="charts">${[percentiles(run), latencyTimeline(run), deliveries(run)].map(drawChart).join('\n')}</div>
<h2>Cohorts</h2>
${cohortTable(run)}
${serverCharts(run)}
${runs.length > 1 ? repeated(report) : ''}
<h2>Checks</h2>
${table(
  ['', 'check', 'seen'],
  verdict.checks.map(({ name, status, text }) => [
    badge(status),
    escapeHtml(name),
    escapeHtml(text),
  ]),
  'prose',
)}
${[...verdict.notes, ...(verdict.saturated ? [`VOID: ${verdict.saturated}`] : [])].map((note) => `<p class="warn">${escapeHtml(note)}</p>`).join('\n')}
<h2>How it was measured</h2>
${facts(report, run)}
</main></body></html>
`;
}

function header({ plan, verdict }: LoadReport, run: RunResult): string {
  const failed = verdict.checks.filter(({ status }) => status === 'failed');
  const [word, mood] =
    failed.length > 0
      ? [`Failed: ${failed.map(({ name }) => name).join(', ')}`, 'bad']
      : verdict.saturated
        ? ['Void: the generator was saturated', 'warn']
        : run.interrupted
          ? ['Interrupted', 'warn']
          : ['Passed', 'ok'];
  return `<header><div><h1>${escapeHtml(plan.scenario)} on ${escapeHtml(plan.target.name)}</h1>
<p>${escapeHtml(plan.title)}</p>
<p class="muted">${escapeHtml(plan.target.transport)}, <code>${escapeHtml(plan.target.url)}</code>, ${escapeHtml(run.startedAt.slice(0, 16).replace('T', ' '))} UTC</p></div>
<p class="verdict ${mood}">${escapeHtml(word)}</p></header>`;
}

function tiles(run: RunResult): string {
  const healthy = run.cohorts[0]!;
  const judged = healthy.phases.slow ?? healthy.phases.calm;
  const phase = run.phases.find(({ name }) => name === 'slow') ?? run.phases.at(-1);
  const announced = run.cohorts.reduce((sum, { counters }) => sum + counters.announced, 0);
  const all: [string, string][] = [];
  if (run.isolation !== null) {
    all.push([
      run.isolation.toFixed(2),
      'isolation ratio: healthy p99 while others are slow over without; 1 is perfect',
    ]);
  }
  all.push(
    [formatMicros(judged?.latency.p99), 'p99 of healthy members'],
    [formatMicros(judged?.latency.p999), 'p99.9 of healthy members'],
    [`${formatCount(judged?.perSecond ?? 0)}/s`, 'delivered to healthy members'],
    [formatCount(announced), 'messages dropped and announced as such'],
  );
  if (phase?.cpuMicrosPerDelivery != null) {
    all.push([`${phase.cpuMicrosPerDelivery.toFixed(2)} µs`, 'server CPU for each delivery']);
  }
  return `<div class="tiles">${all.map(([value, label]) => `<div class="tile"><b>${escapeHtml(value)}</b><span>${escapeHtml(label)}</span></div>`).join('')}</div>`;
}

function percentiles(run: RunResult): Chart {
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
      'From the moment a message was due. Lines that coincide: slow members cost others nothing.',
    x: { values: CURVE.map(decades), ticks, label: (i) => `${round(CURVE[i]!)} %` },
    y: { scale: 'log', format: formatMicros },
    series,
  };
}

function latencyTimeline(run: RunResult): Chart {
  const points = thin(run.timeline.length);
  const at = (i: number, key: 'p50' | 'p99') => (from: number, to: number) =>
    most(run.timeline.slice(from, to).map(({ cohorts }) => cohorts[i]![key]));
  return {
    title: 'Latency over time',
    caption: 'p99 of each cohort by the second of arrival, and the median of the healthy.',
    ...timeAxis(run, points),
    y: { scale: 'log', format: formatMicros },
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

function deliveries(run: RunResult): Chart {
  const points = thin(run.timeline.length);
  const perMember =
    (i: number) =>
    ([from, to]: [number, number]) => {
      const rows = run.timeline.slice(from, to);
      const sum = rows.reduce((total, { cohorts }) => total + cohorts[i]!.delivered, 0);
      return sum / rows.length / run.cohorts[i]!.members;
    };
  return {
    title: 'Messages received by a member',
    caption: 'A second and member, by cohort. The healthy line should not move.',
    ...timeAxis(run, points),
    y: { scale: 'linear', format: formatCount },
    series: run.cohorts.map(({ name }, i) => ({
      name,
      colour: colour(i),
      values: points.map(perMember(i)),
    })),
  };
}

function serverCharts(run: RunResult): string {
  const { samples } = run.server;
  const within = samples.filter(({ at }) => at > 0);
  if (within.length < 2) {
    const why = run.server.missing ?? 'no --server-pid, and no metrics at the target';
    return `<h2>Server</h2><p class="muted">Nothing is known of the server itself: ${escapeHtml(why)}.</p>`;
  }
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
  const charts: Chart[] = [
    {
      title: 'CPU',
      caption: 'Cores the server used.',
      ...x,
      y: { scale: 'linear', format: (value) => String(round(value)) },
      series: [line('cores', 'cpuCores', 0)],
    },
    {
      title: 'Memory',
      caption: 'Resident memory, and what the queues of all members hold of it.',
      ...x,
      y: { scale: 'linear', format: formatBytes },
      series: [line('resident', 'rssBytes', 0), line('queues', 'queueBytes', 1)],
    },
    {
      title: 'Holds and delays inside the server',
      caption:
        'p99 a second: locks held, event loop late, delivery to healthy members as the server sees it.',
      ...x,
      y: { scale: 'log', format: formatMicros },
      series: [
        line('lock hold', 'lockHoldP99', 0),
        line('event loop', 'loopDelayP99', 1),
        line('delivery', 'deliveryP99', 3),
      ],
    },
  ];
  return `<h2>Server</h2><div class="charts">${charts.map(drawChart).join('\n')}</div>`;
}

function cohortTable(run: RunResult): string {
  const rows = run.cohorts.flatMap((cohort, i) =>
    JUDGED.filter((phase) => cohort.phases[phase]).map((phase) => {
      const { latency, service, perSecond } = cohort.phases[phase]!;
      const { p50, p90, p99, p999, p9999, max } = latency;
      return [
        `<i class="${colour(i)}"></i>${escapeHtml(cohort.name)}`,
        formatCount(cohort.members),
        phase,
        ...[p50, p90, p99, p999, p9999, max, service.p99].map(formatMicros),
        `${formatCount(perSecond)}/s`,
        formatCount(cohort.counters.announced),
        formatCount(Object.values(cohort.counters.closes).reduce((sum, n) => sum + n, 0)),
      ];
    }),
  );
  return table(
    [
      'cohort',
      'members',
      'phase',
      'p50',
      'p90',
      'p99',
      'p99.9',
      'p99.99',
      'max',
      'p99 once sent',
      'delivered',
      'dropped, run',
      'closed, run',
    ],
    rows,
  );
}

function repeated({ figures, runs, plan }: LoadReport): string {
  const rows = Object.entries(figures).map(([name, { median, min, max }]) => [
    escapeHtml(name),
    ...[median, min, max].map((value) => escapeHtml(formatFigure(name, value, plan))),
  ]);
  return `<h2>${runs.length} runs</h2>${table(['figure', 'median', 'least', 'most'], rows)}`;
}

function facts({ plan, machine, roomcast }: LoadReport, run: RunResult): string {
  const { offered, sent, lateness } = run.publishing;
  const flow =
    plan.rate === null
      ? `closed loop, ${plan.window} messages in flight a room`
      : `open loop, ${formatCount(plan.rate)} messages a second; ${formatCount(sent)} sent of ${formatCount(offered ?? 0)} due, p99 ${formatMicros(lateness.p99)} late`;
  const generator = run.phases.map(
    ({ name, utilization, loopDelayP99 }) =>
      `${name} ${Math.round(utilization * 100)} % busy, loop p99 ${formatMicros(loopDelayP99)}`,
  );
  const entries: [string, string][] = [
    [
      'Crowd',
      `${formatCount(plan.members)} members, ${formatCount(plan.rooms)} rooms, ${plan.roomsPerMember} a member`,
    ],
    ['Messages', `${formatBytes(plan.size)} each, ${flow}`],
    ['Phases', plan.phases.map(({ name, ms }) => `${name} ${formatDuration(ms)}`).join(', ')],
    ['Checked', 'every message of every member, for order, repetition and gaps; none is sampled'],
    [
      'Generator',
      `${plan.workers} worker${plan.workers === 1 ? '' : 's'}; ${generator.join('; ')}`,
    ],
    [
      'Machine',
      `${machine.cpu}, ${machine.cores} cores, ${formatBytes(machine.memoryBytes)}, ${machine.os}, Node ${machine.node}`,
    ],
    ['Tool', `roomcast load ${roomcast}, seed ${plan.seed}`],
  ];
  return `<dl>${entries.map(([name, text]) => `<dt>${name}</dt><dd>${escapeHtml(text)}</dd>`).join('')}</dl>
<details><summary>The plan as JSON</summary><pre>${escapeHtml(JSON.stringify(plan, null, 2))}</pre></details>`;
}

/** @param kind `prose` wraps and turns into blocks on a narrow page */
function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  kind: 'figures' | 'prose' = 'figures',
): string {
  const cells = (tag: 'th' | 'td', row: readonly string[]): string =>
    row.map((value) => `<${tag}>${value}</${tag}>`).join('');
  const lines = rows.map((row) => `<tr>${cells('td', row)}</tr>`);
  return `<div class="scroll"><table class="${kind}"><thead><tr>${cells('th', head)}</tr></thead><tbody>${lines.join('\n')}</tbody></table></div>`;
}

function badge(status: Check['status']): string {
  const mood = { passed: 'ok', failed: 'bad', void: 'warn', skipped: 'muted' }[status];
  return `<span class="${mood}">${status}</span>`;
}

/** Ranges of rows that become one point each. */
function thin(rows: number): [number, number][] {
  const size = Math.max(1, Math.ceil(rows / POINTS_MAX));
  return Array.from({ length: Math.ceil(rows / size) }, (_, i) => [i * size, (i + 1) * size]);
}

function timeAxis(
  run: RunResult,
  points: readonly [number, number][],
  times: readonly number[] = run.timeline.map(({ at }) => at),
): Pick<Chart, 'x' | 'bands'> {
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
    x: { values, ticks, label: (i) => `${round(values[i]!)} s, ${phaseAt(values[i]!)}` },
    bands: slow.map(({ from, to, name }) => ({
      from,
      to,
      label: name === 'fill' ? 'filling' : 'slow members',
    })),
  };
}

function most(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : Math.max(...known);
}

/** Colours of cohorts in order; the seventh and later ones share one. */
function colour(cohort: number): string {
  return `c${Math.min(cohort, 6)}`;
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
