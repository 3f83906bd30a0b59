/**
 * Checks of what the server holds on to: whom it lets go of in time, what its queues hold, and what
 * remains when everyone has left. They rest on its own metrics where it has them.
 */
import type { RunResult } from '../measure/result.js';
import { releaseMs } from '../plan.js';
import { formatBytes, formatCount, formatDuration, formatMicros } from '../units.js';
import { failed, type Judge, passed, skipped, sumBy, times, unknown } from './check.js';

/** A run ends a timer's inaccuracy early. */
const SLACK_SECONDS = 0.05;
/** The server's metrics are read every second: what they tell of a moment is known so much later. */
const SAMPLE_GRACE_SECONDS = 1.5;

export const memory: Judge = ({ server }) => {
  const bounded = server.samples.filter(
    ({ queueBytes, queueLimitBytes }) => queueBytes !== null && queueLimitBytes !== null,
  );
  if (bounded.length === 0) return skipped('the server does not tell what its queues hold');
  const most = Math.max(...bounded.map(({ queueBytes }) => queueBytes ?? 0));
  const limit = bounded[0]!.queueLimitBytes ?? 0;
  const text = `queues held at most ${formatBytes(most)} of ${formatBytes(limit)}`;
  return most <= limit ? passed(text) : failed(text);
};

export const released: Judge = ({ server: { before, after } }, plan) => {
  if (before?.members == null) return skipped('the server does not tell what it holds');
  if (after?.members == null) return unknown('the server no longer tells what it holds');
  const members = after.members - before.members;
  const bytes = after.queueBytes ?? 0;
  if (members > 0 || bytes > 0) {
    return failed(
      `${formatDuration(releaseMs(plan))} after everyone had left, the server still holds ${times(members, 'member')} and ${formatBytes(bytes)} queued`,
    );
  }
  return passed('no member and no queued byte left after everyone had gone');
};

/**
 * Whether stalled members were let go of in time. A socket tells of a reset at once; what ends it
 * behind unread data (as through a proxy) only the server's metrics tell, or nobody.
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
  const told = toldBy(result.server, stalls, limit / 1000);
  const within = `(limit ${formatDuration(limit)})`;
  const text = `${formatCount(seen)} of ${times(expected, 'stalled member')} disconnected${seen > 0 ? `, the last after ${formatMicros(longest)}` : ''} ${within}`;
  if (seen >= expected && longest <= limit * 1000) return passed(text);
  if (told !== null && told >= expected && longest <= limit * 1000) {
    return passed(
      `the server's metrics count ${times(told, 'eviction')} of ${times(expected, 'stalled member')} in time ${within}; the sockets show ${formatCount(seen)}`,
    );
  }
  if (told === null && seen + unread >= expected && longest <= limit * 1000) {
    return unknown(
      `${text}; ${formatCount(unread)} more turned out to have been ended while nobody read, which no metrics of the server date`,
    );
  }
  return failed(text);
};

/** Spans in seconds during which stalled members were, long enough for an eviction to be due. */
function stallsOf({ phases }: RunResult, limit: number): { from: number; to: number }[] {
  const slow = phases.filter(({ name }) => name === 'fill' || name === 'slow');
  return [...new Set(slow.map(({ turn }) => turn))].flatMap((turn) => {
    const spans = slow.filter((phase) => phase.turn === turn);
    const from = Math.min(...spans.map((span) => span.from));
    const to = Math.max(...spans.map((span) => span.to));
    return to - from >= limit - SLACK_SECONDS ? [{ from, to }] : [];
  });
}

/** Evictions that the server counted in time, or null when it does not tell. */
function toldBy(
  { before, samples }: RunResult['server'],
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
  return told;
}
