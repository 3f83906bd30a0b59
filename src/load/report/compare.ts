/**
 * Compares a report with a baseline: a figure has got worse when its median is worse than the
 * baseline's by more than the tolerance and outside what the baseline's own runs spread over.
 */
import { LoadError } from '../error.js';
import type { Plan } from '../plan.js';
import type { Check } from '../verdict.js';
import { type Figures, formatFigure, moreIsBetter } from './figures.js';
import { isReport, type LoadReport } from './report.js';

/**
 * One check a figure that both have.
 * @param tolerance share that is accepted, such as 0.15
 */
export function compareFigures(
  figures: Figures,
  baseline: Figures,
  tolerance: number,
  plan: Plan,
): Check[] {
  return Object.entries(figures).flatMap(([name, now]) => {
    const before = baseline[name];
    if (!before) return [];
    const change = before.median === 0 ? 0 : now.median / before.median - 1;
    const worse = moreIsBetter(name) ? -change : change;
    const outside = moreIsBetter(name) ? now.median < before.min : now.median > before.max;
    const failed = worse > tolerance && outside;
    const text = `${formatFigure(name, now.median, plan)}, was ${formatFigure(name, before.median, plan)} (${signed(change)}, tolerance ${Math.round(tolerance * 100)} %)`;
    return [{ name: `compare ${name}`, status: failed ? 'failed' : 'passed', text } as const];
  });
}

/** Reads a baseline. @throws LoadError `bad_report` for what is none, or of another plan */
export function asBaseline(text: string, from: string, plan: Plan): LoadReport {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new LoadError('bad_report', `${from} is not JSON: expected a report of --json`);
  }
  if (!isReport(value)) {
    throw new LoadError('bad_report', `${from} is no report of this version of roomcast load`);
  }
  const differing = COMPARED.filter(
    (key) => JSON.stringify(value.plan[key]) !== JSON.stringify(plan[key]),
  );
  if (differing.length > 0) {
    throw new LoadError(
      'bad_report',
      `${from} measured another load: ${differing.join(', ')} differ; compare runs of one scenario`,
    );
  }
  return value;
}

/** What must be the same for figures to be comparable. */
const COMPARED = [
  'members',
  'rooms',
  'roomsPerMember',
  'size',
  'rate',
  'window',
  'phases',
  'cohorts',
] as const satisfies readonly (keyof Plan)[];

function signed(change: number): string {
  return `${change < 0 ? '−' : '+'}${Math.abs(change * 100).toFixed(0)} %`;
}
