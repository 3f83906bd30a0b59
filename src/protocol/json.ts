/**
 * Protocol v1 as JSON text, one object per frame.
 *
 * Fast path: most published data is a string without escapes and is the frame's last field. It is copied
 * from the frame without being parsed and stringified.
 */
import { Refusal } from '../errors.js';
import type { Asked, Codec, Fields, Refused } from './codec.js';
import type { Core, Event, MessageEvent, PastEvent } from './events.js';
import { type CommandId, checkId } from './fields.js';

/** Printable ASCII except `"` and `\`: JSON writes it without escapes. */
const PLAIN = /^[ !#-[\]-~]*$/;
/** The same as a string that ends a frame. */
const PLAIN_REST = /"[ !#-[\]-~]*"\}$/y;
const BEFORE_DATA = ',"data":';
/** How a publish by most clients begins, and the fields that may follow before `data`. */
const PUBLISH = '{"type":"publish"';
const ID = ',"id":';
const ROOM = ',"room":"';
/** Maximum digits of an integer that is always exact. */
const MAX_DIGITS = 15;
/**
 * Maximum characters before `data` on the fast path. A substring keeps its whole string in memory, so
 * this much is held with each message, by every holder (V3).
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

/** The fields common to `message` and `past`. */
function core(message: Core): string {
  const from = message.from === null ? 'null' : quoted(message.from);
  const user = message.user === undefined ? '' : `,"user":${JSON.stringify(message.user)}`;
  const key = message.key === undefined ? '' : `,"key":${JSON.stringify(message.key)}`;
  return `"seq":${message.seq},"from":${from}${user},"at":${message.at},"data":${message.data}${key}`;
}

/** Names seldom need escapes, and testing for them is cheaper than `JSON.stringify`. */
const quoted = (text: string) => (PLAIN.test(text) ? `"${text}"` : JSON.stringify(text));

/**
 * Parses a frame whose last field is `data`, a plain string; only the part before it is parsed. Null if
 * the frame is of another form.
 */
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
    // `,"data":` was inside a string or nested, or the frame is not JSON.
    return null;
  }
  const data = text.slice(end + BEFORE_DATA.length, -1);
  const fields = before as Record<string, unknown>;
  // A comma may not follow an empty object.
  if (Object.keys(fields).length === 0) return null;
  fields['data'] = data.slice(1, -1);
  return { fields, data };
}

/**
 * Parses a publish with only `id` and `room`, in this order, before its plain data at `end`. Null if the
 * frame is of another form.
 */
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

/** Value of the digit at `at`, or -1 if it is none. */
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
