/**
 * Judges a run: the invariants that hold for any broadcast server worth its name, the thresholds
 * that were asked for, and whether the generator was fit to measure at all. Each check has a name,
 * which is what a failed run is known by.
 */

import { EXIT } from './error.js';
import type { PhaseResult, RunResult } from './measure/result.js';
import { JUDGED, type Plan, silenceLimit } from './plan.js';
import { parseThreshold } from './threshold.js';
import { formatBytes, formatCount, formatDuration, formatMicros } from './units.js';

export interface Check {
  readonly name: string;
  /** `void`: failed, but the generator or the machine may have caused it. `skipped`: nothing to judge by. */
  readonly status: 'passed' | 'failed' | 'void' | 'skipped';
  /** What was seen, in one sentence. */
  readonly text: string;
}

export interface Verdict {
  readonly checks: Check[];
  /** Why the figures say nothing about the server, or null: the generator was saturated, say. */
  readonly unfit: string | null;
  /** What a reader of the figures should know. */
  readonly notes: string[];
  /** One of `EXIT`. */
  readonly exit: number;
}

/** A generator busier than this, or later than this, measures itself. */
const BUSY = 0.9;
const LATE_MICROS = 50_000;
/** A server that waits for a CPU for more of the time shows the machine's load, not its own. */
const STARVED = 0.1;
/** What kernels may take for a peer that does not read, before the server notices anything. */
const KERNEL_BYTES = 16 * 1024 * 1024;

type Judgement = Omit<Check, 'name'>;

const passed = (text: string): Judgement => ({ status: 'passed', text });
const failed = (text: string): Judgement => ({ status: 'failed', text });
const skipped = (text: string): Judgement => ({ status: 'skipped', text });

type Judge = (result: RunResult, plan: Plan) => Judgement;

const INVARIANTS: Record<string, Judge> = {
  joined({ cohorts }) {
    const failures = sumBy(cohorts, ({ counters }) => total(counters.failures));
    const why = cohorts.map(({ counters }) => reasons(counters.failures)).filter(Boolean);
    if (failures > 0)
      return failed(`${times(failures, 'member')} could not join: ${why.join(', ')}`);
    return passed(`${formatCount(sumBy(cohorts, ({ members }) => members))} members joined`);
  },

  kept({ cohorts, publishing }) {
    const healthy = cohorts[0]!.counters.closes;
    const lost = total(healthy) + total(publishing.closes);
    if (lost === 0) return passed('no healthy member or publisher was disconnected');
    const why = [reasons(healthy), reasons(publishing.closes)].filter(Boolean).join(', ');
    return failed(`${times(lost, 'healthy connection')} ended by the server: ${why}`);
  },

  order({ cohorts }) {
    const faults = cohorts.map(({ counters }) => counters.faults);
    const reordered = sumBy(faults, (f) => f.reordered);
    const duplicated = sumBy(faults, (f) => f.duplicated);
    const foreign = sumBy(faults, (f) => f.foreign);
    if (reordered + duplicated + foreign > 0) {
      return failed(
        `${formatCount(reordered)} messages out of order, ${formatCount(duplicated)} twice, ${formatCount(foreign)} of rooms not joined`,
      );
    }
    const received = sumBy(cohorts, receivedBy);
    return passed(`${formatCount(received)} messages checked, each once and in order`);
  },

  accounting({ cohorts, publishing }, plan) {
    const lost: string[] = [];
    for (const { name, counters } of cohorts) {
      const { unannounced, wrongGaps } = counters.faults;
      if (unannounced > 0) lost.push(`${name}: ${formatCount(unannounced)} lost without a word`);
      if (wrongGaps > 0)
        lost.push(`${name}: ${times(wrongGaps, 'gap')} did not match what was missing`);
      if (counters.owed > 0) {
        lost.push(
          `${name}: ${formatCount(counters.owed)} neither received nor announced by ${times(counters.owedMembers, 'member')} ${formatDuration(plan.drainMs)} after the last publish`,
        );
      }
    }
    const vanished = missingPublishes(publishing, cohorts);
    if (vanished !== 0)
      lost.push(`${formatCount(vanished)} publishes were neither numbered nor refused`);
    if (lost.length > 0) return failed(lost.join('; '));
    const announced = sumBy(cohorts, ({ counters }) => counters.announced);
    return passed(
      `received ${formatCount(sumBy(cohorts, receivedBy))} + announced as dropped ${formatCount(announced)} = everything sent to who was there`,
    );
  },

  memory({ server }) {
    const bounded = server.samples.filter(
      ({ queueBytes, queueLimitBytes }) => queueBytes !== null && queueLimitBytes !== null,
    );
    if (bounded.length === 0) return skipped('the server does not tell what its queues hold');
    const most = Math.max(...bounded.map(({ queueBytes }) => queueBytes ?? 0));
    const limit = bounded[0]!.queueLimitBytes ?? 0;
    const text = `queues held at most ${formatBytes(most)} of ${formatBytes(limit)}`;
    return most <= limit ? passed(text) : failed(text);
  },

  released({ server: { before, after } }) {
    if (after?.members == null) return skipped('the server does not tell what it holds');
    const members = after.members - (before?.members ?? 0);
    const bytes = after.queueBytes ?? 0;
    if (members > 0 || bytes > 0) {
      return failed(
        `5 s after everyone had left, the server still holds ${times(members, 'member')} and ${formatBytes(bytes)} queued`,
      );
    }
    return passed('no member and no queued byte left after everyone had gone');
  },

  flow({ cohorts, phases }, plan) {
    const { silence, silentMembers } = cohorts[0]!.counters;
    const limit = silenceLimit(plan);
    const blocked = plan.phases
      .map(({ name }, i) => ({ name, members: silentMembers[i]!, longest: silence[i]! }))
      .filter(({ members, name }) => members > 0 && phases.some((phase) => phase.name === name));
    if (blocked.length === 0) {
      return passed(`no healthy member waited longer than ${formatMicros(Math.max(...silence))}`);
    }
    const worst = blocked.map(
      ({ name, members, longest }) =>
        `in phase ${name}, ${formatCount(members)} of ${formatCount(cohorts[0]!.members)} healthy members got nothing for up to ${formatMicros(longest)}`,
    );
    const meanwhile =
      cohorts.length > 1 ? ' while others were slow: slow members hold up the rest' : '';
    return failed(`${worst.join('; ')} (limit ${formatMicros(limit)})${meanwhile}`);
  },

  evictions({ cohorts, phases }, plan) {
    const limit = plan.evictWithinMs;
    if (limit === null) return skipped('no --evict-within given');
    const slowFor = phases
      .filter(({ name }) => name === 'fill' || name === 'slow')
      .reduce((sum, { from, to }) => sum + to - from, 0);
    const stalled = cohorts.filter(({ kind }) => kind === 'stalled');
    if (stalled.length === 0 || slowFor * 1000 < limit) {
      return skipped(`no member was stalled for ${formatDuration(limit)}`);
    }
    const members = sumBy(stalled, (cohort) => cohort.members);
    const evicted = sumBy(stalled, ({ evictions }) => evictions.count);
    const longest = Math.max(0, ...stalled.map(({ evictions }) => evictions.max ?? 0));
    const text = `${formatCount(evicted)} of ${times(members, 'stalled member')} disconnected, the last after ${formatMicros(longest)} (limit ${formatDuration(limit)})`;
    return evicted === members && longest <= limit * 1000 ? passed(text) : failed(text);
  },
};

/** @throws LoadError `bad_option` for a threshold that makes no sense */
export function judge(result: RunResult, plan: Plan): Verdict {
  const unfit = whyUnfit(result, plan);
  const checks = [
    ...Object.entries(INVARIANTS).map(([name, check]) => ({ name, ...check(result, plan) })),
    ...plan.failIf.map((text) => ({ name: `fail-if ${text}`, ...threshold(text, result, plan) })),
  ].map((check): Check => {
    const spoilt = check.status === 'failed' && isSpoilt(check.name, unfit, result, plan);
    return spoilt ? { ...check, status: 'void' } : check;
  });
  return {
    checks,
    unfit,
    notes: notes(result, plan),
    exit: exitOf(checks, unfit, result.interrupted),
  };
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

const COUNTED = new Set(['joined', 'kept', 'order', 'accounting', 'memory', 'released']);

function exitOf(checks: readonly Check[], unfit: string | null, interrupted: boolean): number {
  if (checks.some(({ status }) => status === 'failed')) return EXIT.failed;
  if (unfit !== null) return EXIT.void;
  return interrupted ? EXIT.interrupted : EXIT.ok;
}

function threshold(text: string, result: RunResult, plan: Plan): Judgement {
  const { figure, phase, value, exceeded, format } = parseThreshold(text, plan);
  const seen = value(result);
  if (seen === null) return failed(`${figure} has no value in this run, so it cannot be judged`);
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
  return null;
}

function starvedPhase({ phases }: RunResult): PhaseResult | undefined {
  return phases.find(({ name, cpuWait }) => JUDGED.includes(name) && (cpuWait ?? 0) >= STARVED);
}

function notes(result: RunResult, plan: Plan): string[] {
  const { cohorts, phases, publishing, server } = result;
  const said: string[] = [];
  if (result.interrupted) said.push('interrupted: phases may be missing or short');
  if (publishing.blocked > 0) {
    said.push(
      `${times(publishing.blocked, 'publish', 'publishes')} not sent: the publisher's connection took no more`,
    );
  }
  if (publishing.stuck > 0) {
    said.push(
      `${times(publishing.stuck, 'time')} nothing moved for 1 s and the window was given up`,
    );
  }
  const refused = reasons(publishing.refused);
  if (refused) said.push(`publishes refused: ${refused}`);
  if (server.missing) said.push(`no server metrics: ${server.missing}`);
  const slowFor = phases
    .filter(({ name }) => name === 'fill' || name === 'slow')
    .reduce((sum, { from, to }) => sum + to - from, 0);
  const rate = cohorts[0]!.phases.slow?.perSecond ?? 0;
  const owed = (rate / cohorts[0]!.members) * slowFor * plan.size;
  const stalled = cohorts.filter(({ kind }) => kind === 'stalled');
  const unnoticed = stalled.every(
    ({ counters, evictions }) => counters.announced === 0 && evictions.count === 0,
  );
  if (stalled.length > 0 && unnoticed && owed < KERNEL_BYTES) {
    said.push(
      `each stalled member was owed only ${formatBytes(owed)}, which the kernels at both ends may have held, so the server may not have noticed; lengthen fill and slow, or raise size or rate`,
    );
  }
  return said;
}

/** Publishes that were sent, not refused, and yet got no number; 0 when the target does not tell. */
function missingPublishes(
  { accepted, sent, refused }: RunResult['publishing'],
  cohorts: RunResult['cohorts'],
): number {
  if (accepted === null) return 0;
  const refusals = total(refused) + sumBy(cohorts, ({ counters }) => total(counters.refused));
  return Math.max(0, sent - accepted - refusals);
}

function receivedBy({ phases }: RunResult['cohorts'][number]): number {
  return sumBy(Object.values(phases), ({ latency }) => latency.count);
}

function sumBy<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((sum, item) => sum + value(item), 0);
}

function total(counts: Readonly<Record<string, number>>): number {
  return sumBy(Object.values(counts), (n) => n);
}

function reasons(counts: Readonly<Record<string, number>>): string {
  const sorted = Object.entries(counts).sort(([, a], [, b]) => b - a);
  return sorted.map(([reason, n]) => `${reason} (${formatCount(n)})`).join(', ');
}

function times(n: number, one: string, many = `${one}s`): string {
  return `${formatCount(n)} ${n === 1 ? one : many}`;
}
