/**
 * A whole load test: the runs of a plan one after the other, judged, as one report. The entry of
 * this folder for the CLI and for benchmarks.
 */
import { randomBytes } from 'node:crypto';
import type { RunResult } from './measure/result.js';
import type { Plan } from './plan.js';
import { compareFigures } from './report/compare.js';
import { buildReport, type LoadReport } from './report/report.js';
import { type RunOptions, run } from './run.js';
import { judge } from './verdict/verdict.js';

export interface LoadTestOptions extends RunOptions {
  /** Version of roomcast to write into the report. */
  readonly roomcast: string;
  /** Runs to make; the one with the median healthy p99 is shown. */
  readonly repeat: number;
  readonly baseline?: { readonly report: LoadReport; readonly tolerance: number } | undefined;
}

/** @throws LoadError when nothing could be measured; see `run` */
export async function loadTest(plan: Plan, options: LoadTestOptions): Promise<LoadReport> {
  const runs: RunResult[] = [];
  const ended = (): boolean =>
    (options.signal?.aborted ?? false) || runs.some(({ lost }) => lost !== null);
  while (runs.length < options.repeat && !ended()) {
    // Each run has rooms of its own, so that none sees what an earlier one left behind.
    runs.push(await run(runs.length === 0 ? plan : { ...plan, tag: newTag() }, options));
  }
  const { baseline } = options;
  return buildReport(
    options.roomcast,
    plan,
    runs,
    runs.map((result) => judge(result, plan)),
    // Figures of a run that lost a worker are those of another load.
    (figures) =>
      baseline && runs.every(({ lost }) => lost === null)
        ? compareFigures(figures, baseline.report.figures, baseline.tolerance, plan)
        : [],
    options.agents?.info(),
  );
}

/** What sets a run's rooms and messages apart from those of others: four hex digits. */
export function newTag(): string {
  return randomBytes(2).toString('hex');
}
