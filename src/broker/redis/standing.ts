/**
 * What Redis says of rooms: where they stand, and what their logs hold behind a number.
 *
 * Not here: whose rooms they are, and what is made of the answers (`subscriptions.ts`).
 */
import type { Position } from '../broker.js';
import { parseCommit, parsePosition } from './format.js';
import { freshEpoch } from './fresh-epoch.js';
import type { Keys } from './keys.js';
import type { Link, Reply } from './link.js';
import { READ } from './log-scripts.js';
import { OPEN } from './scripts.js';
import type { Log, Topic } from './topic.js';

/** Rooms asked for in one script, which nobody else can interrupt. */
const ROOMS_A_SCRIPT = 100;
/** Scripts under way at once while a link is brought up. */
const SCRIPTS_AT_ONCE = 2;
/** Most bytes of a log in one answer. */
const READ_BYTES = 256 * 1024;

export interface Asked {
  readonly keys: Keys;
  readonly idleRoomMs: number;
  /** Where a room stands; null where that is where it is known to be. */
  answer(topic: Topic, position: Position | null): void;
  /** Redis takes no new room now. */
  refuse(topic: Topic, why: string): void;
}

/** Asks where rooms stand. */
export async function askRooms(link: Link, topics: readonly Topic[], asked: Asked): Promise<void> {
  let next = 0;
  const work = async () => {
    while (next < topics.length) {
      const part = topics.slice(next, next + ROOMS_A_SCRIPT);
      next += part.length;
      await askPart(link, part, asked);
    }
  };
  await Promise.all(Array.from({ length: SCRIPTS_AT_ONCE }, work));
}

async function askPart(
  link: Link,
  topics: readonly Topic[],
  { keys, idleRoomMs, answer, refuse }: Asked,
): Promise<void> {
  const known = topics.map((topic) => topic.known);
  const reply = await link.run(
    OPEN,
    [
      keys.term,
      ...topics.flatMap(({ room }) => [keys.meta(room), keys.log(room), keys.channel(room)]),
    ],
    [
      freshEpoch(),
      String(idleRoomMs),
      ...known.map((position) => (position === null ? '' : `${position.epoch}:${position.seq}`)),
    ],
  );
  const differing = new Map<number, [epoch: string, seqOrWhy: string]>();
  for (const [place, ...said] of reply as [number, string, string][]) {
    differing.set(place - 1, said);
  }
  for (const [place, topic] of topics.entries()) {
    const said = differing.get(place);
    if (said === undefined) answer(topic, null);
    else if (said[0] === '') refuse(topic, said[1]);
    else answer(topic, { epoch: said[0], seq: Number(said[1]) });
  }
}

type LogReply = [string, string, string, number, ...Reply[]];

/** What Redis has of a room behind a number. */
export async function readLog(link: Link, keys: Keys, room: string, after: number): Promise<Log> {
  const reply = await link.run(
    READ,
    [keys.term, keys.meta(room), keys.log(room)],
    [String(after), String(READ_BYTES)],
  );
  const [epoch, seq, closed, hasMore, ...messages] = reply as LogReply;
  return {
    epoch,
    seq: Number(seq),
    closed: closed === '' ? [] : closed.split(',').map(parsePosition),
    hasMore: hasMore === 1,
    commits: messages.map((message) => parseCommit(String(message))),
  };
}
