/**
 * Protocol v1 as JSON text, one object a frame.
 *
 * Most that is published is a text without anything to escape, and comes last: that is taken as it
 * stands, neither read nor written again.
 */
import { Refusal } from '../errors.js';
import type { Asked, Codec, Fields, Refused } from './codec.js';
import type { Core, Event, MessageEvent, PastEvent } from './events.js';
import { type CommandId, checkId } from './fields.js';

/** What JSON has as it is: ASCII that is printed, but for `"` and `\`. */
const PLAIN = /^[ !#-[\]-~]*$/;
/** The same as the rest of a frame. */
const PLAIN_REST = /"[ !#-[\]-~]*"\}$/y;
const BEFORE_DATA = ',"data":';
/** What a publish begins with as most clients write it, and what may follow before `data`. */
const PUBLISH = '{"type":"publish"';
const ID = ',"id":';
const ROOM = ',"room":"';
/** Digits of a number that is exact. */
const MAX_DIGITS = 15;
/**
 * Characters before `data` in a frame that is read so, most. What is cut out of a text keeps all of it in
 * memory, so this much stays with each message, whoever holds it (V3).
 */
export const MAX_HEAD = 128;

export class JsonCodec implements Codec {
  readonly name = 'json';

  decode(text: string): Asked | Refused {
    let id: CommandId | undefined;
    try {
      const plain = parsePlain(text);
      const fields = plain?.fields ?? parseObject(text);
      id = checkId(fields['id']);
      return { id, fields, data: plain?.data };
    } catch (error) {
      if (error instanceof Refusal) return { id, refusal: error };
      throw error;
    }
  }

  encode(event: Event): string {
    return JSON.stringify(event);
  }

  encodeMessage(message: MessageEvent): string {
    return `{"type":"message","room":${quoted(message.room)},${core(message)}}`;
  }

  encodePast({ id, room, epoch, messages }: PastEvent): string {
    const named = id === undefined ? '' : `"id":${JSON.stringify(id)},`;
    const all = messages.map((message) => `{${core(message)}}`).join(',');
    return `{"type":"past",${named}"room":${JSON.stringify(room)},"epoch":${JSON.stringify(epoch)},"messages":[${all}]}`;
  }
}

/** The fields of a message that it has wherever it comes. */
function core(message: Core): string {
  const from = message.from === null ? 'null' : quoted(message.from);
  const user = message.user === undefined ? '' : `,"user":${JSON.stringify(message.user)}`;
  const key = message.key === undefined ? '' : `,"key":${JSON.stringify(message.key)}`;
  return `"seq":${message.seq},"from":${from}${user},"at":${message.at},"data":${message.data}${key}`;
}

/** Names mostly have nothing to escape, which costs less to see than to have written. */
const quoted = (text: string) => (PLAIN.test(text) ? `"${text}"` : JSON.stringify(text));

/** A frame whose last field is `data`, a plain text: only what stands before it is read. Null: another. */
function parsePlain(text: string): { fields: Fields; data: string } | null {
  const end = text.indexOf(BEFORE_DATA);
  if (end < 0 || end > MAX_HEAD) return null;
  PLAIN_REST.lastIndex = end + BEFORE_DATA.length;
  if (!PLAIN_REST.test(text)) return null;
  const usual = parseUsual(text, end);
  if (usual !== null) return usual;
  let before: unknown;
  try {
    before = JSON.parse(`${text.slice(0, end)}}`);
  } catch {
    // It was not where it seemed, or the frame is not JSON.
    return null;
  }
  const data = text.slice(end + BEFORE_DATA.length, -1);
  const fields = before as Record<string, unknown>;
  // Behind nothing there is no comma.
  if (Object.keys(fields).length === 0) return null;
  fields['data'] = data.slice(1, -1);
  return { fields, data };
}

/** A publish with nothing but `id` and `room` before its plain text, at `end`, in this order. Null: another. */
function parseUsual(text: string, end: number): { fields: Fields; data: string } | null {
  if (!text.startsWith(PUBLISH)) return null;
  let at = PUBLISH.length;
  let id: number | undefined;
  if (text.startsWith(ID, at)) {
    at += ID.length;
    const first = at;
    id = 0;
    for (let digit = digitAt(text, at); digit >= 0; digit = digitAt(text, at)) {
      id = id * 10 + digit;
      at += 1;
    }
    const digits = at - first;
    const isPadded = digits > 1 && digitAt(text, first) === 0;
    if (digits === 0 || digits > MAX_DIGITS || isPadded) return null;
  }
  const start = at + ROOM.length;
  if (!text.startsWith(ROOM, at) || end <= start || text[end - 1] !== '"') return null;
  const room = text.slice(start, end - 1);
  if (!PLAIN.test(room)) return null;
  const data = text.slice(end + BEFORE_DATA.length, -1);
  return { fields: { type: 'publish', id, room, data: data.slice(1, -1) }, data };
}

/** Its value, or -1 where it is none. */
function digitAt(text: string, at: number): number {
  const digit = text.charCodeAt(at) - 48;
  return digit >= 0 && digit <= 9 ? digit : -1;
}

/** @throws Refusal `bad_json` or `bad_command` */
function parseObject(text: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Refusal('bad_json', 'The frame is not JSON; send one object a frame.');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Refusal('bad_command', 'The frame is not a JSON object; send one object a frame.');
  }
  return value as Fields;
}
