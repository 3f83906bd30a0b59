/**
 * Judges a run: makes every check of the plan, compares the thresholds, and decides whether the generator
 * was fit to measure at all. A failed run is reported by the names of its failed checks. Keeps V24: a run
 * passes only if everything that could be judged was observed to be right; what was not judged is named.
 * Not here: the checks themselves (deliveries.ts, healthy.ts, server.ts).
 */
import { unreadRooms } from '../assign.js';
import { EXIT } from '../error.js';
import type { PhaseResult, RunResult } from '../measure/result.js';
import { CHECKS, type CheckName, JUDGED, type Plan, roomName, silenceLimit } from '../plan.js';
import { formatMicros } from '../units.js';
import {
  type Check,
  failed,
  type Judge,
  type Judgement,
  longestBlock,
  passed,
  reasons,
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

/** Outcomes of a run, the worst first. */
export const OUTCOMES = ['failed', 'void', 'incomplete', 'passed'] as const;
type Outcome = (typeof OUTCOMES)[number];

export interface Verdict {
  readonly outcome: Outcome;
  readonly checks: Check[];
  /** Why the figures say nothing about the server (for example a saturated generator), or null. */
  readonly unfit: string | null;
  /** What readers of the figures should know. */
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

/** A generator that is busier or later than this measures itself. */
const BUSY = 0.9;
const LATE_MICROS = 50_000;
/** Share of the messages due that the generator may fail to send in time. */
const UNSENT = 0.01;
/** Rooms that a note lists by name. */
const NAMED = 5;
/** A server or generator that waits for a CPU for more of the time shows the load of the machine. */
const STARVED = 0.1;
/** Errors that mean this machine lacks something: descriptors, ports, memory. */
const LOCAL: ReadonlySet<string> = new Set([
  'EMFILE',
  'ENFILE',
  'EADDRNOTAVAIL',
  'ENOBUFS',
  'ENOMEM',
]);
/**
 * A time between two agents may be wrong by a quarter of the lowest healthy p99, bounded by the two
 * limits below, in µs.
 */
const CLOCK_SHARE = 0.25;
const CLOCK_ERROR_MIN = 1000;
const CLOCK_ERROR_MAX = 10_000;

/** @throws LoadError `bad_option` for an invalid threshold */
export function judge(result: RunResult, plan: Plan): Verdict {
  const { lost } = result;
  const unfit = lost === null ? whyUnfit(result, plan) : null;
  const doubt = lost === null ? clockDoubt(result) : null;
  const judged: (Check & Judgement)[] = [
    { name: 'workers', ...workers(result, plan) },
    ...CHECKS.flatMap((name) => {
      const judgement = plan.skip.includes(name)
        ? skipped('switched off by --skip')
        : JUDGES[name](result, plan);
      return judgement === null ? [] : [{ name: name as string, ...judgement }];
    }),
    ...plan.failIf.map((text) => ({ name: `fail-if ${text}`, ...threshold(text, result, plan) })),
  ];
  const checks = judged.map(({ stands, between, ...check }): Check => {
    if (lost !== null) return asFarAsKnown(check);
    if (doubt !== null && between && (check.status === 'passed' || check.status === 'failed')) {
      return { ...check, status: 'void' };
    }
    const spoilt =
      check.status === 'failed' && !stands && isSpoilt(check.name, unfit, result, plan);
    return spoilt ? { ...check, status: 'void' } : check;
  });
  const why = unfit ?? doubt;
  const outcome = outcomeOf(checks, why !== null, result.interrupted);
  return {
    outcome,
    checks,
    unfit: why,
    notes: notes(result, plan),
    exit: exitOf(outcome, result.interrupted),
  };
}

function workers({ lost }: RunResult, plan: Plan): Judgement {
  if (lost !== null) return unknown(`${lost}: its last counts are unknown`);
  return passed(`${times(plan.workers, 'worker')} counted to the end`);
}

/**
 * Marks a check of a run that lost a worker as unknown: the loss of its connections, counts and messages
 * may have caused the result. A duplicate, changed or reordered message cannot come from that.
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
 * Whether the generator or the machine may have caused a failure that does not stand by itself. A
 * silence (`flow`) is spoilt if it would have been within the limit without the generator's own longest
 * delays in reading and publishing; any other time is spoilt if the generator was saturated. The ratio of
 * `isolation` is also spoilt if the generator got no CPU.
 */
function isSpoilt(name: string, unfit: string | null, result: RunResult, plan: Plan): boolean {
  if (name === 'isolation' && starvedPhase(result, 'generatorCpuWait')) return true;
  if (name !== 'flow') return unfit !== null;
  if (starvedPhase(result, 'cpuWait')) return true;
  const silence = Math.max(...result.cohorts[0]!.counters.silence);
  return (
    silence - longestBlock(result) - (result.publishing.lateness.max ?? 0) <= silenceLimit(plan)
  );
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

/** The text on a lost worker, of any run. */
function lostText(checks: readonly Check[]): string | undefined {
  const check = checks.find(
    ({ name, status }) => name.startsWith('workers') && status !== 'passed',
  );
  return check?.text.split(': its last counts')[0];
}

function threshold(text: string, result: RunResult, plan: Plan): Judgement {
  const { figure, phase, value, exceeded, format, between } = parseThreshold(text, plan);
  const seen = value(result);
  if (seen === null) return unknown(`${figure} has no value in this run, so it cannot be judged`);
  const where = `${figure} is ${format(seen)} (phase ${phase})`;
  return { ...(exceeded(seen) ? failed(where) : passed(where)), between };
}

function whyUnfit(result: RunResult, plan: Plan): string | null {
  const { phases, publishing } = result;
  const refused = refusedHere(result);
  if (refused !== '') {
    return `the generator's machine let it open no more connections (${refused}): raise its limits (ulimit -n, local ports), or use --agents`;
  }
  const busy = phases.find((p) => JUDGED.includes(p.name) && p.utilization >= BUSY);
  if (busy) {
    return `the generator was saturated: a worker's event loop was busy ${Math.round(busy.utilization * 100)} % of phase ${busy.name}: add --workers or cores, or lower the load`;
  }
  const starved = starvedPhase(result, 'cpuWait');
  if (starved) {
    return `the server got no CPU: it was ready to run but had to wait ${Math.round((starved.cpuWait ?? 0) * 100)} % of phase ${starved.name}, as others use this machine`;
  }
  const late = publishing.lateness.p99 ?? 0;
  if (plan.rate !== null && late > LATE_MICROS) {
    return `the generator was saturated: 1 % of publishes went out ${formatMicros(late)} or more after they were due`;
  }
  const { offered: due, sent, last, blocked } = publishing;
  if (due !== null && due - (sent - last + blocked) > Math.max(1, due * UNSENT)) {
    return `the generator was saturated: of ${due} messages due it got to only ${sent - last + blocked}`;
  }
  return null;
}

/** Connection errors caused by this machine, in words; empty if there are none. */
function refusedHere({ cohorts, publishing }: RunResult): string {
  const ends = [publishing, ...cohorts.map(({ counters }) => counters)];
  const all = ends.flatMap(({ failures, closes }) => Object.entries({ ...failures, ...closes }));
  return reasons(Object.fromEntries(all.filter(([reason]) => LOCAL.has(reason))));
}

/** Says that times between agents cannot be used, because their clock offsets are too uncertain. */
function clockDoubt({ clockError, cohorts }: RunResult): string | null {
  if (clockError === null) return null;
  const phases = JUDGED.map((name) => cohorts[0]!.phases[name]?.latency.p99 ?? 0);
  const p99 = Math.min(...phases.filter((each) => each > 0));
  const bound = Math.min(CLOCK_ERROR_MAX, Math.max(CLOCK_ERROR_MIN, p99 * CLOCK_SHARE));
  if (clockError <= bound) return null;
  return `the clocks of the agents are too uncertain: a time between two of them may be wrong by ${formatMicros(clockError)}, and this p99 allows ${formatMicros(bound)}: use agents that are nearer`;
}

/** The phase in which the server (`cpuWait`) or the generator had to wait for a CPU for too long. */
function starvedPhase(
  { phases }: RunResult,
  whose: 'cpuWait' | 'generatorCpuWait',
): PhaseResult | undefined {
  return phases.find((phase) => JUDGED.includes(phase.name) && (phase[whose] ?? 0) >= STARVED);
}

function notes(result: RunResult, plan: Plan): string[] {
  const { interrupted, server } = result;
  const waiting = starvedPhase(result, 'generatorCpuWait');
  const unread = plan.window === null ? [] : unreadRooms(plan);
  const named = unread.slice(0, NAMED).map((room) => roomName(plan, room));
  const more = unread.length > NAMED ? ', …' : '';
  return [
    unread.length > 0
      ? `in ${unread.length} of ${times(plan.rooms, 'room')} only a last message was published, as healthy members pace a closed loop and these rooms have none: ${named.join(', ')}${more}`
      : '',
    waiting
      ? `the generator was ready to run but had to wait for a CPU ${Math.round((waiting.generatorCpuWait ?? 0) * 100)} % of phase ${waiting.name}, as others use this machine: isolation cannot fail`
      : '',
    interrupted ? 'interrupted: phases may be missing or short' : '',
    server.missing ? `${missed(server)}: ${server.missing}` : '',
  ].filter(Boolean);
}

function missed({ before, after, samples }: RunResult['server']): string {
  const isSeen = [before, after, ...samples].some((sample) => sample?.members != null);
  return isSeen ? 'some server metrics are missing' : 'no server metrics';
}
