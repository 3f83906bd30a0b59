/** The report as Markdown (GitHub's), for a comment or a job summary: outcome, figures, checks. */
import type { Distribution } from '../measure/result.js';
import { JUDGED } from '../plan.js';
import { formatCount, formatMicros } from '../units.js';
import type { LoadReport } from './report.js';
import { outcomeLine } from './summary.js';

export function markdownReport(report: LoadReport): string {
  const { plan, runs, shown, verdict, roomcast } = report;
  const run = runs[shown]!;
  const figures = run.cohorts.flatMap(({ name, members, phases }) =>
    JUDGED.flatMap((phase) => {
      const seen = phases[phase];
      if (!seen) return [];
      const { p50, p99, p999, max }: Distribution = seen.latency;
      return [
        [
          name,
          formatCount(members),
          phase,
          ...[p50, p99, p999, max].map(formatMicros),
          `${formatCount(seen.perSecond)}/s`,
        ],
      ];
    }),
  );
  const checks = verdict.checks.map(({ name, status, text }) => [
    status === 'passed' || status === 'skipped' ? status : `**${status}**`,
    escapeMarkdown(name),
    escapeMarkdown(text),
  ]);
  const notes = verdict.notes.map((note) => `- ${escapeMarkdown(note)}`);
  return `## ${escapeMarkdown(outcomeLine(report))}

${escapeMarkdown(plan.scenario)} on ${escapeMarkdown(plan.target.name)} over ${plan.target.transport}: ${formatCount(plan.members)} members, ${formatCount(plan.rooms)} ${plan.rooms === 1 ? 'room' : 'rooms'}, messages of ${formatCount(plan.size)} bytes; roomcast load ${roomcast}, ${runs.length} ${runs.length === 1 ? 'run' : 'runs'}.

${table(['cohort', 'members', 'phase', 'p50', 'p99', 'p99.9', 'max', 'delivered'], figures)}

${table(['status', 'check', 'seen'], checks)}
${notes.length > 0 ? `\n${notes.join('\n')}\n` : ''}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** Escapes names from a server or a flag: no markup, no HTML, and one line. */
function escapeMarkdown(text: string): string {
  return text.replaceAll(/\s+/g, ' ').replaceAll(/[\\`*_[\]<>|#&~@!]/g, '\\$&');
}
