/**
 * Judges a run: every check of the plan, the thresholds that were asked for, and whether the generator
 * was fit to measure at all. Each check has a name, which is what a failed run is known by. Keeps V24:
 * a run has passed only if everything that could be judged was seen to be right; what was not judged
 * is named. Not here: the checks themselves (deliveries.ts, healthy.ts, server.ts).
 */
import { EXIT } from '../error.js';
import type { PhaseResult, RunResult } from '../measure/result.js';
import { CHECKS, type CheckName, JUDGED, type Plan, silenceLimit } from '../plan.js';
import { formatMicros } from '../units.js';
import {
  type Check,
  failed,
  type Judge,
  type Judgement,
  passed,
  skipped,
  times,
  unknown,
} from './check.js';
import {
  accounting,
  backfill,
  confirmed,
  joined,
  kept,
  losses,
  offered,
  order,
} from './deliveries.js';
import { flow, isolation, slowness } from './healthy.js';
import { evictions, memory, released } from './server.js';
import { parseThreshold } from './threshold.js';

/** What a run came to, the worst first. */
export const OUTCOMES = ['failed', 'void', 'incomplete', 'passed'] as const;
type Outcome = (typeof OUTCOMES)[number];

export interface Verdict {
  readonly outcome: Outcome;
  readonly checks: Check[];
  /** Why the figures say nothing about the server, or null: the generator was saturated, say. */
  readonly unfit: string | null;
  /** What a reader of the figures should know. */
  readonly notes: string[];
  /** One of `EXIT`. */
  readonly exit: number;
}

const JUDGES: Record<CheckName, Judge> = {
  joined,
  kept,
  order,
  accounting,
  losses,
  backfill,
  confirmed,
  offered,
  flow,
  slowness,
  isolation,
  evictions,
  memory,
  released,
};

/** Judged by what was counted, which a busy generator cannot get wrong. */
const COUNTED: ReadonlySet<string> = new Set([
  'joined',
  'kept',
  'order',
  'accounting',
  'backfill',
  'confirmed',
  'offered',
  'memory',
  'released',
]);

/** A generator busier than this, or later than this, measures itself. */
const BUSY = 0.9;
const LATE_MICROS = 50_000;
/** Messages that were due and that the generator did not come to send. */
const UNSENT = 0.01;
/** A server that waits for a CPU for more of the time shows the machine's load, not its own. */
const STARVED = 0.1;

/** @throws LoadError `bad_option` for a threshold that makes no sense */
export function judge(result: RunResult, plan: Plan): Verdict {
  const { lost } = result;
  const unfit = lost === null ? whyUnfit(result, plan) : null;
  const checks = [
    { name: 'workers', ...workers(result, plan) },
    ...CHECKS.flatMap((name) => {
      const judged = plan.skip.includes(name)
        ? skipped('switched off by --skip')
        : JUDGES[name](result, plan);
      return judged === null ? [] : [{ name: name as string, ...judged }];
    }),
    ...plan.failIf.map((text) => ({ name: `fail-if ${text}`, ...threshold(text, result, plan) })),
  ].map((check): Check => {
    if (lost !== null) return asFarAsKnown(check);
    const spoilt = check.status === 'failed' && isSpoilt(check.name, unfit, result, plan);
    return spoilt ? { ...check, status: 'void' } : check;
  });
  const outcome = outcomeOf(checks, unfit !== null, result.interrupted);
  return {
    outcome,
    checks,
    unfit,
    notes: notes(result),
    exit: exitOf(outcome, result.interrupted),
  };
}

function workers({ lost }: RunResult, plan: Plan): Judgement {
  if (lost !== null) return unknown(`${lost}: what it saw last is not known`);
  return passed(`${times(plan.workers, 'worker')} counted to the end`);
}

/**
 * A check of a run that has lost a worker, and with it connections, counts and messages: what it says
 * may be due to that. A message that came twice, changed or out of order is not.
 */
function asFarAsKnown(check: Check): Check {
  const stands =
    check.status === 'skipped' ||
    check.status === 'unknown' ||
    (check.name === 'order' && check.status === 'failed');
  return stands
    ? check
    : { ...check, status: 'unknown', text: `as far as is known, ${check.text}` };
}

/** @param unfit whether the figures say nothing about the server */
function outcomeOf(checks: readonly Check[], unfit: boolean, interrupted: boolean): Outcome {
  const any = (status: Check['status']): boolean => checks.some((check) => check.status === status);
  if (any('failed')) return 'failed';
  if (unfit || any('void')) return 'void';
  return interrupted || any('unknown') ? 'incomplete' : 'passed';
}

export function exitOf(outcome: Outcome, interrupted: boolean): number {
  if (outcome === 'failed') return EXIT.failed;
  if (outcome === 'void') return EXIT.void;
  if (outcome === 'passed') return EXIT.ok;
  return interrupted ? EXIT.interrupted : EXIT.incomplete;
}

/**
 * Whether the generator or the machine may have caused a failure. What is counted they cannot. A
 * silence the generator only can if without the longest it was held up itself, in reading and in
 * publishing, the limit would have been kept; any other time if it was saturated.
 */
function isSpoilt(name: string, unfit: string | null, result: RunResult, plan: Plan): boolean {
  if (COUNTED.has(name)) return false;
  if (name !== 'flow') return unfit !== null;
  if (starvedPhase(result)) return true;
  const held = Math.max(...result.phases.map(({ loopDelayMax }) => loopDelayMax));
  const silence = Math.max(...result.cohorts[0]!.counters.silence);
  return silence - held - (result.publishing.lateness.max ?? 0) <= silenceLimit(plan);
}

/** The outcome in one line: what failed, why it is void, what was not judged. */
export function headline({ outcome, checks, unfit, exit }: Verdict): string {
  const names = (...statuses: Check['status'][]): string =>
    checks
      .filter(({ status }) => statuses.includes(status))
      .map(({ name }) => name)
      .join(', ');
  const skippedNames = names('skipped');
  switch (outcome) {
    case 'failed':
      return `Failed: ${names('failed')}`;
    case 'void':
      return `Void: ${unfit === null ? names('void') : unfit.split(':')[0]}`;
    case 'incomplete':
      return exit === EXIT.interrupted
        ? 'Interrupted: nothing failed until then'
        : `Incomplete: ${lostText(checks) ?? `not known: ${names('unknown')}`}`;
    case 'passed':
      return skippedNames === '' ? 'Passed' : `Passed (not judged: ${skippedNames})`;
  }
}

/** What is said of a worker that was lost, in any of the runs. */
function lostText(checks: readonly Check[]): string | undefined {
  const check = checks.find(
    ({ name, status }) => name.startsWith('workers') && status !== 'passed',
  );
  return check?.text.split(': what it saw')[0];
}

function threshold(text: string, result: RunResult, plan: Plan): Judgement {
  const { figure, phase, value, exceeded, format } = parseThreshold(text, plan);
  const seen = value(result);
  if (seen === null) return unknown(`${figure} has no value in this run, so it cannot be judged`);
  const where = `${figure} is ${format(seen)} (phase ${phase})`;
  return exceeded(seen) ? failed(where) : passed(where);
}

function whyUnfit(result: RunResult, plan: Plan): string | null {
  const { phases, publishing } = result;
  const busy = phases.find((p) => JUDGED.includes(p.name) && p.utilization >= BUSY);
  if (busy) {
    return `the generator was saturated: a worker's event loop was busy ${Math.round(busy.utilization * 100)} % of phase ${busy.name}: add --workers or cores, or lower the load`;
  }
  const starved = starvedPhase(result);
  if (starved) {
    return `the server got no CPU: it was ready to run but had to wait ${Math.round((starved.cpuWait ?? 0) * 100)} % of phase ${starved.name}, as others use this machine`;
  }
  const late = publishing.lateness.p99 ?? 0;
  if (plan.rate !== null && late > LATE_MICROS) {
    return `the generator was saturated: 1 % of publishes went out ${formatMicros(late)} or more after they were due`;
  }
  const { offered: due, sent, last, blocked } = publishing;
  if (due !== null && due - (sent - last + blocked) > Math.max(1, due * UNSENT)) {
    return `the generator was saturated: of ${due} messages due it came to send ${sent - last + blocked}`;
  }
  return null;
}

function starvedPhase({ phases }: RunResult): PhaseResult | undefined {
  return phases.find(({ name, cpuWait }) => JUDGED.includes(name) && (cpuWait ?? 0) >= STARVED);
}

function notes({ interrupted, server }: RunResult): string[] {
  return [
    interrupted ? 'interrupted: phases may be missing or short' : '',
    server.missing ? `no server metrics: ${server.missing}` : '',
  ].filter(Boolean);
}
