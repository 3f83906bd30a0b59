/**
 * Format of the messages in channels and logs. The script writes a head, `<first> <last> <epoch> <at>
 * <was>` and a newline; then follow the records, written by the publishing node and read by nobody in
 * between. A record is `<fields length> <data length> <fields><data>`: a JSON array of everything but
 * the data, then the data unchanged. Lengths are in UTF-16 units.
 *
 * Every client with write access to our keys is trusted as the broker itself is. A message that cannot
 * be parsed is rejected as a whole and counted, never used in part.
 */
import type { Payload, Position, Publication } from '../broker.js';

/** One commit as it is delivered: publications of one epoch whose numbers have no hole. */
export interface Commit {
  readonly first: number;
  /** `first - 1` if there is no record: the commit only closes an epoch. */
  readonly last: number;
  readonly epoch: string;
  /** Milliseconds since 1970, by the clock of Redis. */
  readonly at: number;
  /** Last position of the previous epoch, in the first commit of a new one. */
  readonly was: Position | null;
  readonly records: string;
}

/** Encodes a publication as part of `Commit.records`. */
export function encodeRecord({ data, from, user, key, event, except, trace }: Payload): string {
  // Trailing absent fields are omitted; others are null.
  const fields: (string | null | undefined)[] = [from, key, user, event, except, trace];
  while (fields.length > 1 && fields[fields.length - 1] === undefined) fields.pop();
  const head = JSON.stringify(fields);
  return `${head.length} ${data.length} ${head}${data}`;
}

const UNREADABLE = 'the message is malformed';

function wholeNumber(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 0 || text === '') throw new Error(UNREADABLE);
  return number;
}

/** Parses a position as scripts write it: `<epoch>:<seq>`. @throws Error */
export function parsePosition(text: string): Position {
  const colon = text.lastIndexOf(':');
  if (colon <= 0) throw new Error(UNREADABLE);
  return { epoch: text.slice(0, colon), seq: wholeNumber(text.slice(colon + 1)) };
}

/** @throws Error if the message is malformed */
export function parseCommit(message: string): Commit {
  const end = message.indexOf('\n');
  const [first, last, epoch, at, was, ...more] = message.slice(0, Math.max(end, 0)).split(' ');
  if (!first || !last || !epoch || !at || !was || more.length > 0) throw new Error(UNREADABLE);
  const commit = {
    first: wholeNumber(first),
    last: wholeNumber(last),
    epoch,
    at: wholeNumber(at),
    was: was === '-' ? null : parsePosition(was),
    records: message.slice(end + 1),
  };
  if (commit.last < commit.first - 1) throw new Error(UNREADABLE);
  return commit;
}

/** The publications of a commit. @throws Error if their number differs from the head's */
export function publicationsOf(room: string, commit: Commit): Publication[] {
  const { first, last, epoch, at, records } = commit;
  const publications: Publication[] = [];
  let next = 0;
  const length = (): number => {
    const end = records.indexOf(' ', next);
    if (end < 0) throw new Error(UNREADABLE);
    const value = wholeNumber(records.slice(next, end));
    next = end + 1;
    return value;
  };
  const part = (characters: number): string => {
    if (next + characters > records.length) throw new Error(UNREADABLE);
    next += characters;
    return records.slice(next - characters, next);
  };
  for (let seq = first; seq <= last; seq += 1) {
    const headLength = length();
    const dataLength = length();
    const fields = JSON.parse(part(headLength)) as (string | null)[];
    const [from = null, key, user, event, except, trace] = fields;
    publications.push({
      room,
      seq,
      epoch,
      at,
      data: part(dataLength),
      from,
      key: key ?? undefined,
      user: user ?? undefined,
      event: event ?? undefined,
      except: except ?? undefined,
      trace: trace ?? undefined,
    });
  }
  if (next !== records.length) throw new Error(UNREADABLE);
  return publications;
}
