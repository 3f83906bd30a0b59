/**
 * The report as JUnit XML, which CI systems show as tests: one case per check. A failed check is a
 * failure; one that could not be judged is an error, because the run does not pass (V24).
 */
import type { LoadReport } from './report.js';
import { outcomeLine } from './summary.js';

interface Case {
  readonly name: string;
  readonly kind: 'passed' | 'failure' | 'error' | 'skipped';
  readonly text: string;
}

export function junitReport(report: LoadReport): string {
  const { plan, runs, verdict } = report;
  const cases = verdict.checks.map(({ name, status, text }): Case => {
    const kind =
      status === 'failed'
        ? 'failure'
        : status === 'passed' || status === 'skipped'
          ? status
          : 'error';
    return { name, kind, text };
  });
  const red = cases.some(({ kind }) => kind === 'failure' || kind === 'error');
  // A saturated generator or an interrupted run is no check's fault: add a case for it.
  if (verdict.exit !== 0 && !red) {
    cases.push({ name: 'outcome', kind: 'error', text: outcomeLine(report) });
  }
  const count = (wanted: Case['kind']): number =>
    cases.filter(({ kind }) => kind === wanted).length;
  const seconds = runs.reduce((sum, { phases }) => sum + (phases.at(-1)?.to ?? 0), 0);
  const suite = {
    name: `roomcast load: ${plan.scenario} on ${plan.target.name}`,
    timestamp: runs[0]!.startedAt,
    time: seconds.toFixed(3),
    tests: cases.length,
    failures: count('failure'),
    errors: count('error'),
    skipped: count('skipped'),
  };
  const head = Object.entries(suite).map(
    ([name, value]) => ` ${name}="${escapeXml(String(value))}"`,
  );
  return `<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
<testsuite${head.join('')}>
${cases.map(testCase).join('\n')}
<system-out>${escapeXml([...verdict.notes, outcomeLine(report)].join('\n'))}</system-out>
</testsuite>
</testsuites>
`;
}

function testCase({ name, kind, text }: Case): string {
  const open = `<testcase classname="roomcast load" name="${escapeXml(name)}"`;
  if (kind === 'passed') return `${open}><system-out>${escapeXml(text)}</system-out></testcase>`;
  return `${open}><${kind} message="${escapeXml(text)}"/></testcase>`;
}

/** Escapes text for XML 1.0, which forbids most control characters even when escaped. */
function escapeXml(text: string): string {
  return text
    .replace(/[^\t\n\r\x20-\ud7ff\ue000-\ufffd]/g, '\ufffd')
    .replace(/[&<>"'\n]/g, (c) => `&#${c.charCodeAt(0)};`);
}
