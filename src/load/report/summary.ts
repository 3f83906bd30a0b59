/** The report as text for a terminal or a log: figures by cohort and phase, then every check. */

import type { CohortResult, PhaseResult, RunResult } from '../measure/result.js';
import { JUDGED, type Plan } from '../plan.js';
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatIsolation,
  formatMicros,
} from '../units.js';
import type { Check } from '../verdict/check.js';
import { headline } from '../verdict/verdict.js';
import { formatFigure } from './figures.js';
import type { LoadReport } from './report.js';
import { table } from './table.js';

const MARK: Record<Check['status'], string> = {
  passed: 'ok',
  failed: 'FAIL',
  void: 'void',
  unknown: '?',
  skipped: '-',
};

export function summary(report: LoadReport): string {
  const { plan, runs, shown, verdict } = report;
  const run = runs[shown]!;
  const parts = [
    heading(plan) + agentsLine(report.agents),
    runs.length > 1 ? spread(report) : '',
    cohorts(run),
    run.isolation === null
      ? ''
      : `  isolation ${formatIsolation(run.isolation)}: healthy p99 with slow members over without`,
    machines(run),
    checks(verdict.checks),
    verdict.notes.map((note) => `  note  ${note}`).join('\n'),
    verdict.unfit === null ? '' : `  VOID  ${verdict.unfit}`,
    outcomeLine(report),
  ];
  return `${parts.filter(Boolean).join('\n\n')}\n`;
}

/** The addresses of the agents, and the uncertainty of their clocks. */
function agentsLine(agents: LoadReport['agents']): string {
  if (agents.length === 0) return '';
  const worst = Math.max(...agents.map(({ clockError }) => clockError));
  const where = agents.map(({ address }) => address).join(', ');
  return `\n  from ${where}; their clocks are known within ${formatMicros(worst)}`;
}

function heading({ scenario, title, target, ...plan }: Plan): string {
  const flow =
    plan.rate === null ? `${plan.window} in flight` : `${formatCount(plan.rate)} messages/s`;
  const rooms = plan.rooms === 1 ? '1 room' : `${formatCount(plan.rooms)} rooms`;
  const workers = plan.workers === 1 ? '1 worker' : `${plan.workers} workers`;
  return [
    title ? `${scenario}: ${title}` : scenario,
    `  ${target.name} over ${target.transport}, ${target.url}`,
    `  ${formatCount(plan.members)} members in ${rooms}, ${flow} of ${formatBytes(plan.size)}, seed ${plan.seed}, ${workers}`,
    `  ${plan.phases.map(({ name, ms }) => `${name} ${formatDuration(ms)}`).join(', ')}`,
  ].join('\n');
}

function spread({ figures, runs, plan }: LoadReport): string {
  const rows = Object.entries(figures).map(([name, { median, min, max }]) => [
    name,
    ...[median, min, max].map((value) => formatFigure(name, value, plan)),
  ]);
  return table([[`${runs.length} runs`, 'median', 'least', 'most'], ...rows]);
}

function cohorts(run: RunResult): string {
  const rows = run.cohorts.flatMap((cohort) =>
    JUDGED.filter((phase) => cohort.phases[phase]).map((phase) => {
      const { latency, perSecond } = cohort.phases[phase]!;
      return [
        cohort.name,
        formatCount(cohort.members),
        phase,
        formatMicros(latency.p50),
        formatMicros(latency.p99),
        formatMicros(latency.p999),
        formatMicros(latency.max),
        `${formatCount(perSecond)}/s`,
      ];
    }),
  );
  const head = ['cohort', 'members', 'phase', 'p50', 'p99', 'p99.9', 'max', 'delivered'];
  return [table([head, ...rows]), ...run.cohorts.flatMap(events)].join('\n');
}

/** Events of a cohort besides deliveries. */
function events({
  name,
  counters,
  recoveries,
  evictions,
  backfills,
  joins,
}: CohortResult): string[] {
  const said: string[] = [];
  if (counters.announced > 0) said.push(`${formatCount(counters.announced)} announced as dropped`);
  const { duplicated } = counters.faults;
  if (duplicated > 0) said.push(`${formatCount(duplicated)} received a second time`);
  const closes = Object.entries(counters.closes).map(([why, n]) => `${formatCount(n)} × ${why}`);
  if (closes.length > 0) said.push(`ended by the server: ${closes.join(', ')}`);
  if (evictions.count > 0) said.push(`evicted after ${formatMicros(evictions.max)} at most`);
  if (recoveries.count > 0) {
    said.push(
      `recovered ${formatMicros(recoveries.p50)} after reading again (at most ${formatMicros(recoveries.max)})`,
    );
  }
  if (backfills.count > 0) {
    said.push(
      `${formatCount(counters.backfill.came)} messages of gaps received on request, after ${formatMicros(backfills.p50)} (at most ${formatMicros(backfills.max)})`,
    );
  }
  if (joins.count > counters.present) said.push(`joined within ${formatMicros(joins.p99)} (p99)`);
  return said.length === 0 ? [] : [`  ${name}: ${said.join('; ')}`];
}

function machines(run: RunResult): string {
  const rows = run.phases
    .filter(({ name }) => JUDGED.includes(name))
    .map((phase) => [
      phase.name,
      `${Math.round(phase.utilization * 100)} %`,
      formatMicros(phase.loopDelayP99),
      ...server(phase),
    ]);
  const head = [
    'phase',
    'generator',
    'loop p99',
    'server',
    'waited',
    'a delivery',
    'loop',
    'lock',
    'memory',
  ];
  return table([head, ...rows]);
}

function server(phase: PhaseResult): string[] {
  return [
    phase.cpuCores === null ? '–' : `${phase.cpuCores.toFixed(2)} cores`,
    phase.cpuWait === null ? '–' : `${Math.round(phase.cpuWait * 100)} %`,
    phase.cpuMicrosPerDelivery === null ? '–' : `${phase.cpuMicrosPerDelivery.toFixed(2)} µs`,
    formatMicros(phase.loopDelayServerP99),
    formatMicros(phase.lockHoldP99),
    phase.rssGrowthBytes === null
      ? '–'
      : `${phase.rssGrowthBytes < 0 ? '' : '+'}${formatBytes(phase.rssGrowthBytes)}`,
  ];
}

function checks(all: readonly Check[]): string {
  const width = Math.max(...all.map(({ name }) => name.length));
  return all
    .map(({ name, status, text }) => `  ${MARK[status].padEnd(4)}  ${name.padEnd(width)}  ${text}`)
    .join('\n');
}

/** The headline with its first word in capitals. */
export function outcomeLine({ verdict }: LoadReport): string {
  return headline(verdict).replace(/^\w+/, (word) => word.toUpperCase());
}
