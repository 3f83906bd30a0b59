/**
 * Reads history for members from a room's log in Redis, and decides how much of the log is kept for
 * members and nodes together.
 *
 * V18: count and age are exact to the message, whichever node published. The byte bound applies when a
 * commit is added, and the latest commit is always kept. The log is trimmed by commits, and history is
 * returned by messages.
 *
 * Not here: writing the log (`scripts.ts`), reading it for a node's own deliveries (`topic.ts`).
 */
import type { HistoryPolicy } from '../../options/config.js';
import type { Past, Publication, Range } from '../broker.js';
import { parseCommit, publicationsOf } from './format.js';
import type { Keys } from './keys.js';
import type { Link } from './link.js';
import { PAST, PURGE } from './log-scripts.js';
import type { Kept } from './numbers.js';

/** How much of a room's log is kept: enough for members and for nodes, which need `least`. */
export function keptFor(
  { historyMessages, historyBytes, historyMs }: HistoryPolicy,
  least: Omit<Kept, 'bytes'>,
): Kept {
  // Fields are listed one by one, since this runs for every message.
  if (historyMessages === 0) return { messages: least.messages, ms: least.ms, bytes: 0 };
  return {
    messages: Math.max(least.messages, historyMessages),
    ms: Math.max(least.ms, historyMs),
    bytes: historyBytes,
  };
}

/** @throws Error, as a rejection, also if the log is malformed */
export async function readPast(
  link: Link,
  keys: Keys,
  room: string,
  { from, to, maxMessages, maxBytes }: Range,
  { historyMessages, historyMs }: HistoryPolicy,
): Promise<Past> {
  const reply = await link.run(
    PAST,
    [keys.term, keys.meta(room), keys.log(room)],
    [from, to, maxMessages, maxBytes, historyMessages, historyMs].map(String),
  );
  const [epoch, seq, oldest, ...messages] = reply as readonly string[] & [string, string, string];
  const first = Math.max(from, Number(oldest));
  const publications: Publication[] = [];
  let bytes = 0;
  for (const publication of messages.flatMap((each) => publicationsOf(room, parseCommit(each)))) {
    if (publication.seq < first) continue;
    if (publication.seq > to || publications.length === maxMessages) break;
    bytes += Buffer.byteLength(publication.data);
    if (bytes > maxBytes && publications.length > 0) break;
    publications.push(publication);
  }
  return { epoch, seq: Number(seq), oldest: Number(oldest), publications };
}

/** @throws Error, as a rejection */
export async function purge(link: Link, keys: Keys, room: string, through: number): Promise<void> {
  await link.run(PURGE, [keys.term, keys.meta(room), keys.log(room)], [String(through)]);
}
