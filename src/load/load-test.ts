/**
 * A whole load test: makes the runs of a plan one after the other, judges them and builds one report.
 * The CLI and the benchmarks use this module.
 */
import { randomBytes } from 'node:crypto';
import type { RunResult } from './measure/result.js';
import type { Plan } from './plan.js';
import { compareFigures } from './report/compare.js';
import { buildReport, type LoadReport } from './report/report.js';
import { type RunOptions, run } from './run.js';
import { judge } from './verdict/verdict.js';

export interface LoadTestOptions extends RunOptions {
  /** Version of roomcast, for the report. */
  readonly roomcast: string;
  /** Number of runs; the report shows the one with the median healthy p99. */
  readonly repeat: number;
  readonly baseline?: { readonly report: LoadReport; readonly tolerance: number } | undefined;
}

/** @throws LoadError when nothing could be measured; see `run` */
export async function loadTest(plan: Plan, options: LoadTestOptions): Promise<LoadReport> {
  const runs: RunResult[] = [];
  const ended = (): boolean =>
    (options.signal?.aborted ?? false) || runs.some(({ lost }) => lost !== null);
  while (runs.length < options.repeat && !ended()) {
    // Each run has rooms of its own, so that no run sees remains of an earlier one.
    runs.push(await run(runs.length === 0 ? plan : { ...plan, tag: newTag() }, options));
  }
  const { baseline } = options;
  return buildReport(
    options.roomcast,
    plan,
    runs,
    runs.map((result) => judge(result, plan)),
    // A run that lost a worker had less load: its figures cannot be compared.
    (figures) =>
      baseline && runs.every(({ lost }) => lost === null)
        ? compareFigures(figures, baseline.report.figures, baseline.tolerance, plan)
        : [],
    options.agents?.info(),
  );
}

/** A random tag of four hex digits, to distinguish the rooms and messages of one run from others. */
export function newTag(): string {
  return randomBytes(2).toString('hex');
}
