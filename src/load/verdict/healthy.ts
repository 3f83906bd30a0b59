/**
 * Checks of the effect of slow members on healthy ones: whether any member was slow at all, whether
 * healthy members were delayed, and by how much. They measure time, so a saturated generator or machine
 * can spoil them. They name a cause only if it was measured, by turns of calm and slow phases.
 */
import type { Cohort } from '../cohort.js';
import type { CohortResult, RunResult } from '../measure/result.js';
import { type Plan, silenceLimit } from '../plan.js';
import { formatBytes, formatCount, formatIsolation, formatMicros } from '../units.js';
import {
  failed,
  type Judge,
  type Judgement,
  passed,
  readsAll,
  skipped,
  unknown,
  untested,
} from './check.js';

/** Bytes that kernels may buffer for a peer that does not read, before the server notices. */
const KERNEL_BYTES = 16 * 1024 * 1024;
/** Server queues larger than this have begun to fill for some member. */
const QUEUED_BYTES = 64 * 1024;
/** Slow members may raise the healthy p99 by this factor, or by this many µs: whichever is more. */
const RATIO_MAX = 2;
const ADDED_MAX = 10_000;
/** A single turn shows no noise; on a busy machine p99 varies by this factor without a cause. */
const SINGLE_TURN_NOISE = 5;
/** A single turn fails only if it has this many seconds of `slow`: one stall spoils one or two. */
const SINGLE_TURN_SECONDS = 4;

const SLOW = new Set(['fill', 'slow']);
/** Kinds that are slow because they leave and return. */
const MOVING: ReadonlySet<string> = new Set(['vanishing', 'churning']);

export const flow: Judge = ({ cohorts, phases }, plan) => {
  const { silence, silentMembers } = cohorts[0]!.counters;
  const limit = silenceLimit(plan);
  const silent = plan.phases.flatMap((phase, i) =>
    silentMembers[i]! > 0 &&
    phases.some(({ name, turn }) => name === phase.name && turn === phase.turn)
      ? [{ ...phase, members: silentMembers[i]!, longest: silence[i]! }]
      : [],
  );
  if (silent.length === 0) {
    return passed(`no healthy member waited longer than ${formatMicros(Math.max(...silence))}`);
  }
  const seen = [...new Set(silent.map(({ name }) => name))].map((name) => {
    const turns = silent.filter((phase) => phase.name === name);
    const members = Math.max(...turns.map((turn) => turn.members));
    const longest = Math.max(...turns.map((turn) => turn.longest));
    return `in phase ${name}, ${formatCount(members)} of ${formatCount(cohorts[0]!.members)} healthy members got nothing for up to ${formatMicros(longest)}`;
  });
  return failed(`${seen.join('; ')} (limit ${formatMicros(limit)})${association(silent, plan)}`);
};

/** Says whether the silences coincide with the slow phases: in every turn, and in no other phase. */
function association(silent: readonly Plan['phases'][number][], plan: Plan): string {
  if (plan.cohorts.length < 2) return '';
  const others = silent.filter(({ name }) => !SLOW.has(name));
  const turns = new Set(plan.phases.map(({ turn }) => turn).filter((turn) => turn > 0));
  const hit = new Set(silent.filter(({ name }) => SLOW.has(name)).map(({ turn }) => turn));
  if (others.length > 0) return '; not only while others were slow';
  if (turns.size < 2) return '; others were slow at that time, but one turn may be chance';
  return hit.size === turns.size
    ? `; in each of ${turns.size} turns while others were slow, and at no other time: slow members delay the rest`
    : `; while others were slow, but in ${hit.size} of ${turns.size} turns only`;
}

/** Whether the slow members were slow enough for the server to notice. */
export const slowness: Judge = (result, plan) => {
  const slow = plan.cohorts.flatMap((cohort, i) =>
    readsAll(cohort) ? [] : [{ cohort, seen: result.cohorts[i]! }],
  );
  if (slow.length === 0) return skipped('the scenario has no slow members');
  const slowFor = seconds(result, SLOW);
  if (slowFor === 0) return skipped('no phase with slow members was run');
  const light = slow.filter(({ cohort, seen }) => !noticed(cohort, seen, result, plan));
  const names = (those: typeof slow): string => those.map(({ cohort }) => cohort.name).join(', ');
  // The server's metrics show that a member was slow, but not its cohort; with one cohort it is clear.
  const shown = light.length === slow.length && hasShown(result);
  if (light.length === 0 || (shown && slow.length === 1)) {
    return passed(`the server had to notice: ${names(slow)}`);
  }
  if (shown) {
    return passed(`the server had to notice some of ${names(slow)}; its metrics do not tell which`);
  }
  const owed = formatBytes(Math.max(...light.map(({ cohort }) => heldBack(cohort, result, plan))));
  const advice = `each was behind by ${owed} at most, which the kernels at both ends may have held: lengthen fill and slow, or raise size or rate`;
  return light.length === slow.length
    ? untested(
        `nothing slow happened that the server must have noticed; ${names(light)}: ${advice}`,
      )
    : passed(`the server had to notice some; not tested: ${names(light)}: ${advice}`);
};

function noticed(cohort: Cohort, seen: CohortResult, result: RunResult, plan: Plan): boolean {
  const { counters, evictions, joins } = seen;
  if (cohort.kind === 'vanishing' || cohort.kind === 'churning') return joins.count > seen.members;
  if (counters.announced + evictions.count + counters.endedUnread > 0) return true;
  return heldBack(cohort, result, plan) >= KERNEL_BYTES;
}

/** Whether the server's metrics show that it noticed a slow member. */
function hasShown({ server: { before, samples } }: RunResult): boolean {
  return samples.some(
    (sample) =>
      (sample.queueBytes ?? 0) > QUEUED_BYTES ||
      (sample.evictions ?? 0) > (before?.evictions ?? 0) ||
      (sample.dropped ?? 0) > (before?.dropped ?? 0),
  );
}

/** Largest number of bytes that a member of the cohort left unread at once, from the healthy rate. */
function heldBack(cohort: Cohort, result: RunResult, plan: Plan): number {
  const healthy = result.cohorts[0]!;
  const rate = ((healthy.phases.slow?.perSecond ?? 0) / healthy.members) * plan.size;
  const turns = result.phases.filter(({ name }) => SLOW.has(name));
  const longest = Math.max(
    0,
    ...turns.map(({ turn }) =>
      turns.filter((each) => each.turn === turn).reduce((sum, { from, to }) => sum + to - from, 0),
    ),
  );
  switch (cohort.kind) {
    case 'stalled':
      return rate * longest;
    case 'late':
      return rate * Math.min(longest, cohort.after / 1000);
    case 'sawtooth':
      return rate * Math.min(longest, cohort.pause / 1000);
    case 'throttled':
      return Math.max(0, rate - cohort.rate) * longest;
    default:
      return cohort.bandwidth > 0 ? Math.max(0, rate - cohort.bandwidth) * longest : 0;
  }
}

/** The healthy p99 with slow members divided by the one without. */
export const isolation: Judge = (result, plan) => {
  const has = (phase: string): boolean => plan.phases.some(({ name }) => name === phase);
  if (plan.cohorts.every(readsAll)) return skipped('the scenario has no slow members');
  if (!has('calm') || !has('slow')) return skipped('needs a calm and a slow phase');
  const seen = result.isolation;
  if (seen === null) return unknown('no healthy p99 of both a calm and a slow phase');
  const away = absence(result, plan);
  if (away === null) return { ...judgeIsolation(seen, result.timeline), between: true };
  // With `evictWithin` the slow members are meant to be gone.
  return plan.evictWithinMs === null ? untested(away) : skipped(away);
};

/** Says that no slow member was connected for most of the slow phases; null if one was. */
function absence({ cohorts, timeline }: RunResult, plan: Plan): string | null {
  const slow = plan.cohorts.flatMap((cohort, i) => (readsAll(cohort) ? [] : [i]));
  const moves = (i: number): boolean =>
    MOVING.has(plan.cohorts[i]!.kind) && cohorts[i]!.joins.count > cohorts[i]!.members;
  if (slow.some(moves)) return null;
  const rows = timeline.filter(({ phase }) => phase === 'slow');
  const there = rows.filter((row) => slow.some((i) => (row.cohorts[i]?.present ?? 0) > 0));
  if (there.length * 2 > rows.length || rows.length === 0) return null;
  return `slow members were connected in ${there.length} of ${rows.length} seconds of slow: in the other seconds nobody was slow`;
}

function judgeIsolation(
  seen: NonNullable<RunResult['isolation']>,
  timeline: RunResult['timeline'],
): Judgement {
  const { ratio, interval, turns } = seen;
  const added = turns.map(({ calm, slow }) => slow - calm).sort((a, b) => a - b);
  const [worst] = turns.toSorted((a, b) => b.slow / b.calm - a.slow / a.calm);
  const text = `healthy p99 with slow members over without is ${formatIsolation(seen)}; at worst ${formatMicros(worst!.calm)} became ${formatMicros(worst!.slow)}`;
  if (ratio <= RATIO_MAX || added.at(-1)! <= ADDED_MAX) {
    const isNoise = interval !== null && interval[0] <= 1 && interval[1] >= 1;
    return passed(isNoise ? `${text}: within noise of 1` : text);
  }
  const lasts =
    interval === null
      ? isDelayedMostly(worst!.calm, timeline)
      : interval[0] > RATIO_MAX && added[Math.floor((added.length - 1) / 2)]! > ADDED_MAX;
  if (lasts) return failed(`${text} (limit ${RATIO_MAX})`);
  const where = interval === null ? 'one turn may be chance' : 'within noise or in some turns only';
  return untested(
    `${text}: beyond ${RATIO_MAX} and by more than ${formatMicros(ADDED_MAX)}, but ${where}; more turns or a quieter machine can tell`,
  );
}

/**
 * Whether healthy members were delayed in most seconds of `slow`, beyond noise and beyond the generator's
 * own delay of that second: the p99 of a single turn may come from one stall of the machine.
 * @param calm healthy p99 without slow members, in µs
 */
function isDelayedMostly(calm: number, timeline: RunResult['timeline']): boolean {
  const rows = timeline.filter(({ phase }) => phase === 'slow');
  const limit = Math.max(calm * RATIO_MAX * SINGLE_TURN_NOISE, calm + ADDED_MAX);
  // A second without a delivery shows no delay; `flow` judges the silence.
  const seen = rows.flatMap(({ cohorts: [healthy], loopDelayMax }) =>
    healthy!.p99 === null ? [] : [healthy!.p99 - loopDelayMax],
  );
  const delayed = seen.filter((own) => own > limit);
  return rows.length >= SINGLE_TURN_SECONDS && delayed.length * 2 > seen.length;
}

function seconds({ phases }: RunResult, names: ReadonlySet<string>): number {
  return phases.reduce((sum, { name, from, to }) => (names.has(name) ? sum + to - from : sum), 0);
}
