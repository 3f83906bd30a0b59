/**
 * Checks of what the server holds: whether it evicts stalled members in time, whether its queues stay
 * within their limit, and what remains after all members left. They use the server's metrics if it has any.
 */
import type { RunResult } from '../measure/result.js';
import { releaseMs } from '../plan.js';
import { formatBytes, formatCount, formatDuration, formatMicros } from '../units.js';
import {
  failed,
  type Judge,
  longestBlock,
  passed,
  readsAll,
  skipped,
  sumBy,
  times,
  total,
  unknown,
  untested,
  wrong,
} from './check.js';

/** A run ends early by up to the inaccuracy of a timer. */
const SLACK_SECONDS = 0.05;
/** The server's metrics are sampled every second, so an event shows up to this much later. */
const SAMPLE_GRACE_SECONDS = 1.5;

export const memory: Judge = ({ server }) => {
  const bounded = server.samples.filter(
    ({ queueBytes, queueLimitBytes }) => queueBytes !== null && queueLimitBytes !== null,
  );
  if (bounded.length === 0) return skipped('the server does not report its queue sizes');
  const most = Math.max(...bounded.map(({ queueBytes }) => queueBytes ?? 0));
  const limit = bounded[0]!.queueLimitBytes ?? 0;
  const text = `queues held at most ${formatBytes(most)} of ${formatBytes(limit)}`;
  return most <= limit ? passed(text) : wrong(text);
};

export const released: Judge = ({ server: { before, after, samples }, interrupted }, plan) => {
  if (before?.members == null) {
    const reports = [...samples, after].some((sample) => sample?.members != null);
    return reports
      ? unknown('the server did not report its members before the run')
      : skipped('the server does not report its members');
  }
  if (after?.members == null) return unknown('the server no longer reports its members');
  const members = after.members - before.members;
  const bytes = after.queueBytes ?? 0;
  if (members > 0 || bytes > 0) {
    const held = `the server still holds ${times(members, 'member')} and ${formatBytes(bytes)} queued`;
    if (interrupted) return unknown(`${held}; the run was interrupted and did not wait for it`);
    return wrong(`${formatDuration(releaseMs(plan))} after everyone had left, ${held}`);
  }
  return passed('no member and no queued byte left after everyone had gone');
};

/**
 * Whether stalled members were evicted in time. A socket reports a reset at once; an end that is queued
 * behind unread data (as through a proxy) shows only in the server's metrics, if at all.
 */
export const evictions: Judge = (result, plan) => {
  const limit = plan.evictWithinMs;
  if (limit === null) return skipped('no --evict-within given');
  const stalls = stallsOf(result, limit / 1000);
  if (stalls.length === 0) return unknown(`no member was stalled for ${formatDuration(limit)}`);
  const stalled = result.cohorts.filter(({ kind }) => kind === 'stalled');
  const members = sumBy(stalled, (cohort) => cohort.members);
  const expected = members * stalls.length;
  const seen = sumBy(stalled, (cohort) => cohort.evictions.count);
  const longest = Math.max(0, ...stalled.map((cohort) => cohort.evictions.max ?? 0));
  const unread = sumBy(stalled, ({ counters }) => counters.endedUnread);
  const told = toldBy(result, stalls, limit / 1000);
  const within = `(limit ${formatDuration(limit)})`;
  const text = `${formatCount(seen)} of ${times(expected, 'stalled member')} disconnected${seen > 0 ? `, the last after ${formatMicros(longest)}` : ''} ${within}`;
  if (seen >= expected && longest <= limit * 1000) return passed(text);
  // While the generator is blocked it detects no end.
  const held = longestBlock(result);
  if (seen >= expected && longest - held <= limit * 1000) {
    return untested(`${text}; the generator was blocked for up to ${formatMicros(held)}`);
  }
  if (told !== null && told >= expected && longest <= limit * 1000) {
    const metrics = `the server's metrics count ${times(told, 'eviction')} in time besides those of other members, with ${times(expected, 'stalled member')} ${within}; the sockets show ${formatCount(seen)}`;
    const others = plan.cohorts.filter((each) => each.kind !== 'stalled' && !readsAll(each));
    if (others.length === 0) return passed(metrics);
    return unknown(
      `${metrics}; whether these were the stalled members or some of ${others.map(({ name }) => name).join(', ')} is unknown`,
    );
  }
  if (told === null && seen + unread >= expected && longest <= limit * 1000) {
    return unknown(
      `${text}; ${formatCount(unread)} more were found to have been ended while unread, at an unknown time (no server metrics)`,
    );
  }
  return failed(text);
};

/** Spans, in seconds, in which members were stalled for long enough that an eviction is due. */
function stallsOf({ phases }: RunResult, limit: number): { from: number; to: number }[] {
  const slow = phases.filter(({ name }) => name === 'fill' || name === 'slow');
  return [...new Set(slow.map(({ turn }) => turn))].flatMap((turn) => {
    const spans = slow.filter((phase) => phase.turn === turn);
    const from = Math.min(...spans.map((span) => span.from));
    const to = Math.max(...spans.map((span) => span.to));
    return to - from >= limit - SLACK_SECONDS ? [{ from, to }] : [];
  });
}

/**
 * Evictions that the server counted in time, minus those that the sockets of other members and of
 * publishers show; null if the server does not count them.
 */
function toldBy(
  { server: { before, samples }, cohorts, publishing }: RunResult,
  stalls: readonly { from: number; to: number }[],
  limit: number,
): number | null {
  const at = (seconds: number): number | null =>
    (samples.findLast((sample) => sample.at <= seconds) ?? before)?.evictions ?? null;
  let told = 0;
  for (const { from } of stalls) {
    const [first, last] = [at(from), at(from + limit + SAMPLE_GRACE_SECONDS)];
    if (first === null || last === null) return null;
    told += last - first;
  }
  const others = cohorts.filter(({ kind }) => kind !== 'stalled');
  const ended = sumBy(others, ({ counters }) => total(counters.closes));
  return Math.max(0, told - ended - total(publishing.closes));
}
