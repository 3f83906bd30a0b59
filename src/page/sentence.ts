/** What the numbers of a second come to, in one sentence. Pure. */
import * as format from './format.js';
import type { Series } from './frame.js';

/** The number of a series now; null where there is none. */
export type Read = (series: Series) => number | null;

/** Seconds. Above it healthy members are no longer served as they should be; as the alert has it. */
export const TOO_LONG = 0.1;

export function sentence(read: Read): string {
  const members = read('members') ?? 0;
  const slow = read('slowMembers') ?? 0;
  const p99 = read('healthyP99');
  if (members === 0) return 'Nobody is connected.';
  const within =
    p99 === null ? 'nothing is being delivered' : `messages arrive within ${format.duration(p99)}`;
  if (slow === 0) {
    return `${format.plural(members, 'member')}, and all keep up: ${within}.`;
  }
  const slowOnes = `${format.count(slow)} of ${format.plural(members, 'member')} ${slow === 1 ? 'is' : 'are'} slow.`;
  if (slow === members) return slowOnes;
  if (p99 === null) return `${slowOnes} To the others ${within}.`;
  if (p99 > TOO_LONG)
    return `${slowOnes} The others wait ${format.duration(p99)} too: see the runbook.`;
  return `${slowOnes} The others do not wait for ${slow === 1 ? 'it' : 'them'}: ${within}.`;
}
