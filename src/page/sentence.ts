/** Summarises the values of a second in one sentence. Pure. */
import * as format from './format.js';
import type { Series } from './frame.js';

/** Returns the current value of a series; null without one. */
export type Read = (series: Series) => number | null;

/**
 * Seconds. Healthy members that wait longer are affected by the slow ones; the alert uses the same
 * threshold.
 */
export const TOO_LONG = 0.1;

export function sentence(read: Read): string {
  const members = read('members') ?? 0;
  const slow = read('slowMembers') ?? 0;
  const p99 = read('healthyP99');
  if (members === 0) return 'No members are connected.';
  const within =
    p99 === null ? 'nothing is being delivered' : `messages arrive within ${format.duration(p99)}`;
  if (slow === 0) {
    return `${format.plural(members, 'member')}, and all keep up: ${within}.`;
  }
  const slowOnes = `${format.count(slow)} of ${format.plural(members, 'member')} ${slow === 1 ? 'is' : 'are'} slow.`;
  if (slow === members) return slowOnes;
  if (p99 === null) return `${slowOnes} Nothing is being delivered to the others.`;
  if (p99 > TOO_LONG)
    return `${slowOnes} The others wait ${format.duration(p99)} too: see the runbook.`;
  return `${slowOnes} The others do not wait for ${slow === 1 ? 'it' : 'them'}: ${within}.`;
}
