/**
 * The report as one HTML file that loads nothing: it contains its style, its script and the chart data,
 * and its policy allows no other script. Without JavaScript everything but the charts is shown.
 * Not here: the content of charts (charts.ts), drawing (browser.ts), the style (report.css).
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

import type { RunResult } from '../measure/result.js';
import { JUDGED } from '../plan.js';
import { formatBytes, formatCount, formatDuration, formatMicros } from '../units.js';
import type { Check } from '../verdict/check.js';
import { headline } from '../verdict/verdict.js';
import type { Charts } from './chart.js';
import { colour, latencyCharts, receivedByMember, serverCharts } from './charts.js';
import { formatFigure } from './figures.js';
import type { LoadReport } from './report.js';

/** Reads a built file (browser.ts or report.css), whether this file runs from `src/` or from `dist/`. */
const built = (name: string): string =>
  readFileSync(new URL(`../../../dist/load/report/${name}`, import.meta.url), 'utf8');

export function htmlReport(report: LoadReport): string {
  const { plan, runs, shown, verdict } = report;
  const run = runs[shown]!;
  const title = `${plan.scenario} on ${plan.target.name}`;
  const charts: Charts = { latency: latencyCharts(run), server: serverCharts(run) };
  const script = built('browser.js');
  const hash = createHash('sha256').update(script).digest('base64');
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-${hash}'">
<title>${escapeHtml(title)}: roomcast load</title>
<style>${built('report.css')}</style></head><body><main>
${header(report, run)}
${tiles(run)}
<h2>Latency</h2>
<noscript><p class="caption">The charts need JavaScript; the tables do not.</p></noscript>
<div class="charts" id="charts-latency"></div>
<h2>Cohorts</h2>
${cohortTable(run)}
${serverSection(run, charts)}
${runs.length > 1 ? repeated(report) : ''}
<h2>Checks</h2>
${table(
  'Checks',
  ['status', 'check', 'seen'],
  verdict.checks.map(({ name, status, text }) => [
    badge(status),
    escapeHtml(name),
    escapeHtml(text),
  ]),
  'prose',
)}
${[...verdict.notes, ...(verdict.unfit ? [`VOID: ${verdict.unfit}`] : [])].map((note) => `<p class="warn">${escapeHtml(note)}</p>`).join('\n')}
<h2>How it was measured</h2>
${facts(report, run)}
</main>
<script type="application/json" id="charts">${JSON.stringify(charts).replaceAll('<', '\\u003c')}</script>
<script>${script}</script></body></html>
`;
}

function header({ plan, verdict }: LoadReport, run: RunResult): string {
  const word = headline(verdict);
  const mood = { passed: 'ok', failed: 'bad', void: 'warn', incomplete: 'warn' }[verdict.outcome];
  const cut = run.interrupted && verdict.outcome !== 'incomplete' ? '; interrupted' : '';
  return `<header><div><h1>${escapeHtml(plan.scenario)} on ${escapeHtml(plan.target.name)}</h1>
<p>${escapeHtml(plan.title)}</p>
<p class="muted">${escapeHtml(plan.target.transport)}, <code>${escapeHtml(plan.target.url)}</code>, ${escapeHtml(run.startedAt.slice(0, 16).replace('T', ' '))} UTC</p></div>
<p class="verdict ${mood}">${escapeHtml(word)}${cut}</p></header>`;
}

function tiles(run: RunResult): string {
  const healthy = run.cohorts[0]!;
  const judged = healthy.phases.slow ?? healthy.phases.calm;
  const when = healthy.phases.slow ? ' while others are slow' : '';
  const phase = run.phases.find(({ name }) => name === 'slow') ?? run.phases.at(-1);
  const announced = run.cohorts.reduce((sum, { counters }) => sum + counters.announced, 0);
  const all: [string, string][] = [];
  if (run.isolation !== null) {
    all.push([
      run.isolation.ratio.toFixed(2),
      'isolation ratio: healthy p99 with slow members over without; 1 is ideal',
    ]);
  }
  all.push(
    [formatMicros(judged?.latency.p99), `p99 of healthy members${when}`],
    [formatMicros(judged?.latency.p999), `p99.9 of healthy members${when}`],
    [`${formatCount(judged?.perSecond ?? 0)}/s`, 'delivered to healthy members'],
    [formatCount(announced), 'messages dropped and announced'],
  );
  if (phase?.cpuMicrosPerDelivery != null) {
    all.push([`${phase.cpuMicrosPerDelivery.toFixed(2)} µs`, 'server CPU for each delivery']);
  }
  return `<div class="tiles">${all.map(([value, label]) => `<div class="tile"><b>${escapeHtml(value)}</b><span>${escapeHtml(label)}</span></div>`).join('')}</div>`;
}

function serverSection(run: RunResult, { server = [] }: Charts): string {
  if (server.length > 0) return '<h2>Server</h2><div class="charts" id="charts-server"></div>';
  const why = run.server.missing ?? 'no --server-pid, and no metrics at the target';
  return `<h2>Server</h2><p class="muted">Nothing is known of the server itself: ${escapeHtml(why)}.</p>`;
}

function cohortTable(run: RunResult): string {
  const rows = run.cohorts.flatMap((cohort, i) =>
    JUDGED.filter((phase) => cohort.phases[phase]).map((phase, row) => {
      const { latency, service } = cohort.phases[phase]!;
      const seconds = run.timeline.filter((second) => second.phase === phase);
      const received = receivedByMember(run, i, seconds);
      const { p50, p90, p99, p999, p9999, max } = latency;
      const ofRun = (count: number): string => (row === 0 ? formatCount(count) : '');
      return [
        `<i class="swatch ${colour(i)}"></i>${escapeHtml(cohort.name)}, ${phase}`,
        ofRun(cohort.members),
        ...[p50, p90, p99, p999, p9999, max, service.p99].map(formatMicros),
        received === null ? '–' : `${formatCount(received)}/s`,
        ofRun(cohort.counters.announced),
        ofRun(cohort.counters.faults.duplicated),
        ofRun(Object.values(cohort.counters.closes).reduce((sum, n) => sum + n, 0)),
      ];
    }),
  );
  const caption =
    'Latencies are of messages that were due in the phase, whenever they arrived. "received a member" is the messages that arrived during the phase, per second and member, as in the chart. A message that arrived twice counts twice in it and in the latencies, and is counted as repeated.';
  return `<p class="caption">${caption}</p>${table(
    'Cohorts',
    [
      'cohort',
      'members',
      'p50',
      'p90',
      'p99',
      'p99.9',
      'p99.99',
      'max',
      'p99 once sent',
      'received a member',
      'dropped in all',
      'repeated in all',
      'closed in all',
    ],
    rows,
  )}`;
}

function repeated({ figures, runs, plan }: LoadReport): string {
  const rows = Object.entries(figures).map(([name, { median, min, max }]) => [
    escapeHtml(name),
    ...[median, min, max].map((value) => escapeHtml(formatFigure(name, value, plan))),
  ]);
  return `<h2>${runs.length} runs</h2>${table('Runs', ['figure', 'median', 'least', 'most'], rows)}`;
}

function facts({ plan, machine, agents, roomcast }: LoadReport, run: RunResult): string {
  const { offered, sent, last, lateness } = run.publishing;
  // As in the check `offered`: without the last messages, which are in no schedule.
  const onSchedule = sent - last;
  const flow =
    plan.rate === null
      ? `closed loop, ${plan.window} messages in flight a room`
      : `open loop, ${formatCount(plan.rate)} messages a second; ${formatCount(onSchedule)} sent of ${formatCount(Math.max(offered ?? 0, onSchedule))} due, p99 ${formatMicros(lateness.p99)} late`;
  const generator = run.phases.map(
    ({ name, utilization, loopDelayP99 }) =>
      `${name} ${Math.round(utilization * 100)} % busy, loop p99 ${formatMicros(loopDelayP99)}`,
  );
  const entries: [string, string][] = [
    [
      'Crowd',
      `${formatCount(plan.members)} members, ${formatCount(plan.rooms)} ${plan.rooms === 1 ? 'room' : 'rooms'}, ${plan.roomsPerMember} a member`,
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
    ...agents.map(({ address, machine, clockError }): [string, string] => [
      'Agent',
      `${address}: ${machine.cpu}, ${machine.cores} cores; its clock is known within ${formatMicros(clockError)}`,
    ]),
    ['Tool', `roomcast load ${roomcast}, seed ${plan.seed}`],
  ];
  return `<dl>${entries.map(([name, text]) => `<dt>${name}</dt><dd>${escapeHtml(text)}</dd>`).join('')}</dl>
<details><summary>The plan as JSON</summary><pre>${escapeHtml(JSON.stringify(plan, null, 2))}</pre></details>`;
}

/**
 * @param name for screen readers; the table may scroll sideways, by keyboard too
 * @param kind `prose` wraps, and becomes blocks on a narrow page
 */
function table(
  name: string,
  head: readonly string[],
  rows: readonly (readonly string[])[],
  kind: 'figures' | 'prose' = 'figures',
): string {
  const cells = (tag: 'th' | 'td', row: readonly string[]): string =>
    row.map((value) => `<${tag}>${value}</${tag}>`).join('');
  const lines = rows.map((row) => `<tr>${cells('td', row)}</tr>`);
  return `<div class="scroll" tabindex="0" role="region" aria-label="${escapeHtml(name)}"><table class="${kind}"><thead><tr>${cells('th', head)}</tr></thead><tbody>${lines.join('\n')}</tbody></table></div>`;
}

function badge(status: Check['status']): string {
  const mood = { passed: 'ok', failed: 'bad', void: 'warn', unknown: 'warn', skipped: 'muted' }[
    status
  ];
  return `<span class="${mood}">${status}</span>`;
}

/** Escapes text for HTML. */
function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}
