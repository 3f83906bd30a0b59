/**
 * Queries of rooms in Redis: their positions, and their log entries after a number.
 *
 * Not here: which rooms to query, and what to do with the answers (`subscriptions.ts`).
 */
import type { Position } from '../broker.js';
import { parseCommit, parsePosition } from './format.js';
import { freshEpoch } from './fresh-epoch.js';
import type { Keys } from './keys.js';
import type { Link, Reply } from './link.js';
import { READ } from './log-scripts.js';
import { LOOK, OPEN } from './scripts.js';
import type { Log, State, Topic } from './topic.js';

/** Rooms queried by one script, which blocks all other clients. */
const ROOMS_A_SCRIPT = 100;
/** Concurrent scripts while a link resumes. */
const SCRIPTS_AT_ONCE = 2;
/** Most bytes of a log in one answer. */
const READ_BYTES = 256 * 1024;

export interface Asked {
  readonly keys: Keys;
  readonly idleRoomMs: number;
  /** A room's state; null if the room is still at its known position. */
  answer(topic: Topic, state: State | null): void;
  /** Redis cannot open the room now. */
  refuse(topic: Topic, why: string): void;
}

/** Queries the state of rooms, and opens those that are unknown or have moved. */
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

async function askPart(link: Link, topics: readonly Topic[], asked: Asked): Promise<void> {
  const all = topics.map((topic): Known => ({ topic, known: topic.known }));
  const unknown = all.filter(({ known }) => known === null);
  const differing = await look(link, all, asked);
  const toOpen = [...unknown, ...differing];
  if (toOpen.length > 0) await open(link, toOpen, asked);
}

interface Known {
  readonly topic: Topic;
  /** `topic.known` at the time of the query. */
  readonly known: Position | null;
}

const textOf = (known: Position | null): string =>
  known === null ? '' : `${known.epoch}:${known.seq}`;

/** Returns the rooms with a known position that have moved. */
async function look(
  link: Link,
  all: readonly Known[],
  { keys, idleRoomMs, answer }: Asked,
): Promise<Known[]> {
  const known = all.filter((each) => each.known !== null);
  if (known.length === 0) return [];
  const places = new Set(
    (await link.run(
      LOOK,
      [keys.term, ...known.map(({ topic }) => keys.meta(topic.room))],
      [String(idleRoomMs), ...known.map((each) => textOf(each.known))],
    )) as number[],
  );
  for (const [i, { topic }] of known.entries()) if (!places.has(i + 1)) answer(topic, null);
  return known.filter((_, i) => places.has(i + 1));
}

async function open(
  link: Link,
  topics: readonly Known[],
  { keys, idleRoomMs, answer, refuse }: Asked,
): Promise<void> {
  const reply = await link.run(
    OPEN,
    [
      keys.term,
      ...topics.flatMap(({ topic: { room } }) => [
        keys.meta(room),
        keys.log(room),
        keys.channel(room),
      ]),
    ],
    [freshEpoch(), String(idleRoomMs), ...topics.map(({ known }) => textOf(known))],
  );
  const differing = new Map<number, [epoch: string, seqOrWhy: string, closed: string]>();
  for (const [place, ...said] of reply as [number, string, string, string][]) {
    differing.set(place - 1, said);
  }
  for (const [i, { topic }] of topics.entries()) {
    const said = differing.get(i);
    if (said === undefined) answer(topic, null);
    else if (said[0] === '') refuse(topic, said[1]);
    else answer(topic, { epoch: said[0], seq: Number(said[1]), closed: closedOf(said[2]) });
  }
}

const closedOf = (text: string): Position[] =>
  text === '' ? [] : text.split(',').map(parsePosition);

type LogReply = [string, string, string, number, ...Reply[]];

/** Reads a room's log after a number. */
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
    closed: closedOf(closed),
    hasMore: hasMore === 1,
    commits: messages.map((message) => parseCommit(String(message))),
  };
}
