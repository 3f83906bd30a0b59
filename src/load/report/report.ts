/**
 * The report of a load test as JSON: the plan, the machines, the results and the verdict. The shape is
 * public and versioned; within a version fields are only added.
 */
import { arch, cpus, release, totalmem, type } from 'node:os';
import type { AgentInfo } from '../agent/agents.js';
import type { RunResult } from '../measure/result.js';
import type { Plan } from '../plan.js';
import type { Check } from '../verdict/check.js';
import { exitOf, OUTCOMES, type Verdict } from '../verdict/verdict.js';
import { type Figures, keyFigures } from './figures.js';

const REPORT_FORMAT = 'roomcast-load';
const REPORT_VERSION = 2;

export interface Machine {
  readonly os: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly node: string;
}

export interface LoadReport {
  readonly format: typeof REPORT_FORMAT;
  readonly version: typeof REPORT_VERSION;
  /** Version of roomcast that measured. */
  readonly roomcast: string;
  /** The machine of the coordinator; without agents it also generated the load. */
  readonly machine: Machine;
  /** The machines that generated the load; empty without `--agents`. */
  readonly agents: readonly AgentInfo[];
  /** Header values are replaced; only their names are kept. */
  readonly plan: Plan;
  readonly runs: readonly RunResult[];
  /** Index of the run with the median healthy p99 (of two, the worse), whose figures are shown. */
  readonly shown: number;
  /** Median, least and most over the runs. */
  readonly figures: Figures;
  readonly verdict: Verdict;
}

/**
 * @param verdicts of each run
 * @param compared checks against a baseline
 * @param agents their state after the last run
 */
export function buildReport(
  roomcast: string,
  plan: Plan,
  runs: readonly RunResult[],
  verdicts: readonly Verdict[],
  compared: (figures: Figures) => readonly Check[],
  agents: readonly AgentInfo[] = [],
): LoadReport {
  const figures = keyFigures(runs, plan);
  const shown = medianRun(runs);
  return {
    format: REPORT_FORMAT,
    version: REPORT_VERSION,
    roomcast,
    machine: thisMachine(),
    agents,
    plan: { ...plan, target: { ...plan.target, headers: hidden(plan.target.headers) } },
    runs,
    shown,
    figures,
    verdict: overall(
      verdicts,
      shown,
      compared(figures),
      runs.some((run) => run.interrupted),
    ),
  };
}

export function isReport(value: unknown): value is LoadReport {
  const report = value as Partial<LoadReport> | null;
  return report?.format === REPORT_FORMAT && report.version === REPORT_VERSION;
}

function medianRun(runs: readonly RunResult[]): number {
  const p99 = ({ cohorts }: RunResult): number => {
    const phases = cohorts[0]!.phases;
    return (phases.slow ?? phases.calm)?.latency.p99 ?? 0;
  };
  const order = runs.map((run, i) => [p99(run), i] as const).sort(([a], [b]) => a - b);
  return order[Math.floor(order.length / 2)]![1];
}

/** The shown run's verdict, the problems of the other runs, and the comparison. */
function overall(
  verdicts: readonly Verdict[],
  shown: number,
  compared: readonly Check[],
  interrupted: boolean,
): Verdict {
  const main = verdicts[shown]!;
  const elsewhere = verdicts.flatMap(({ checks }, i) =>
    i === shown
      ? []
      : checks
          .filter(({ status }) => status !== 'passed' && status !== 'skipped')
          .map((check) => ({ ...check, name: `${check.name} (run ${i + 1})` })),
  );
  const judged = compared.map((check) =>
    main.unfit && check.status === 'failed' ? { ...check, status: 'void' as const } : check,
  );
  const outcomes = [
    ...verdicts.map(({ outcome }) => outcome),
    ...judged.map(({ status }) => (status === 'unknown' ? 'incomplete' : status)),
  ];
  const outcome = OUTCOMES.find((each) => outcomes.includes(each))!;
  return {
    ...main,
    outcome,
    checks: [...main.checks, ...elsewhere, ...judged],
    exit: exitOf(outcome, interrupted),
  };
}

export function thisMachine(): Machine {
  const cores = cpus();
  return {
    os: `${type()} ${release()} ${arch()}`,
    cpu: cores[0]?.model ?? 'unknown',
    cores: cores.length,
    memoryBytes: totalmem(),
    node: process.version,
  };
}

function hidden(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.keys(headers).map((name) => [name, '(not shown)']));
}
