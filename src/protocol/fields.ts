/** Checks of command fields, used by every entrance (V11, V14). */
import { Refusal } from '../errors.js';
import type { Position } from './events.js';

/** A client's id for a command, echoed in the reply. */
export type CommandId = number | string;

/** Limits of commands: the server's options of the same names. */
export interface CommandLimits {
  /** Maximum bytes of a command's frame; `publish` has the transport's limit. */
  readonly maxCommandBytes: number;
  /** Maximum bytes of UTF-8 of a message's `data` as JSON text. */
  readonly maxMessageBytes: number;
  readonly maxRoomNameLength: number;
  readonly roomNamePattern: RegExp;
  /** Maximum levels of arrays and objects in `data`. */
  readonly maxJsonDepth: number;
}

const MAX_ID_LENGTH = 64;
export const MAX_KEY_LENGTH = 200;
export const MAX_UID_LENGTH = 64;
const MAX_EPOCH_LENGTH = 64;
/** Characters of a wrong value shown: enough to recognise it, too few to echo a flood. */
const MAX_SHOWN = 40;

/** Formats a wrong value for an error message. */
export const show = (value: unknown): string => {
  const text = inShort(value);
  return text.length > MAX_SHOWN + 2 ? `${text.slice(0, MAX_SHOWN)}…` : text;
};

/** The embedding API can pass values that JSON does not have. */
function inShort(value: unknown): string {
  switch (typeof value) {
    case 'undefined':
      return 'nothing';
    case 'object':
      return value === null ? 'null' : Array.isArray(value) ? 'an array' : 'an object';
    case 'string':
      return JSON.stringify(value.slice(0, MAX_SHOWN));
    case 'function':
    case 'symbol':
      return `a ${typeof value}`;
    case 'bigint':
      return `${value}n`;
    default:
      return String(value);
  }
}

/** @throws Refusal `bad_command` */
export function checkId(value: unknown): CommandId | undefined {
  if (value === undefined || (typeof value === 'number' && Number.isFinite(value))) return value;
  if (typeof value === 'string' && value.length <= MAX_ID_LENGTH) return value;
  throw new Refusal(
    'bad_command',
    `id is ${show(value)}; it may be a number or a string of at most ${MAX_ID_LENGTH} characters.`,
  );
}

/** @throws Refusal `bad_room` */
export function checkRoom(value: unknown, limits: CommandLimits): string {
  if (typeof value !== 'string') {
    throw new Refusal('bad_room', `room is ${show(value)}; it has to be a string.`);
  }
  if (value.length === 0 || value.length > limits.maxRoomNameLength) {
    throw new Refusal(
      'bad_room',
      `room has ${value.length} characters; 1 to ${limits.maxRoomNameLength} are allowed.`,
    );
  }
  if (!limits.roomNamePattern.test(value)) {
    // Shown as it was configured, without the group that matches the whole name.
    const pattern = limits.roomNamePattern.source.replace(/^\^\(\?:(.*)\)\$$/s, '$1');
    throw new Refusal('bad_room', `room ${show(value)} does not match ${pattern}.`);
  }
  // UTF-8 has no half characters: elsewhere two such names could be one.
  if (!value.isWellFormed()) {
    throw new Refusal('bad_room', `room ${show(value)} has half of a surrogate pair.`);
  }
  return value;
}

/** @throws Refusal `bad_command` */
function checkName(name: string, value: unknown, maxLength: number): string | undefined {
  if (value === undefined) return undefined;
  const isName = typeof value === 'string' && value.length > 0 && value.length <= maxLength;
  if (isName && value.isWellFormed()) return value;
  throw new Refusal(
    'bad_command',
    `${name} is ${show(value)}; it may be a string of 1 to ${maxLength} whole characters.`,
  );
}

/**
 * Returns `data` as JSON text. Checks it first, since `JSON.stringify` recurses and writes a number
 * beyond its range as null.
 *
 * @throws Refusal `bad_command` without data or with such a number, `too_deep` beyond `maxJsonDepth`
 * levels
 */
function checkData(value: unknown, limits: CommandLimits): string {
  if (value === undefined) {
    throw new Refusal('bad_command', 'data is missing; send any JSON value, including null.');
  }
  checkValue(value, limits.maxJsonDepth, limits);
  return JSON.stringify(value);
}

/** @throws Refusal `bad_position` */
export function checkSeq(value: unknown, name: string, least: number): number {
  if (Number.isSafeInteger(value) && (value as number) >= least) return value as number;
  throw new Refusal(
    'bad_position',
    `${name} is ${show(value)}; it has to be a whole number from ${least} to 2^53 - 1.`,
  );
}

/**
 * Checks `since`. Both fields are required: a number means nothing without its epoch.
 *
 * @throws Refusal `bad_position`
 */
export function checkPosition(value: unknown): Position {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Refusal('bad_position', `since is ${show(value)}; it has to be {"epoch":…,"seq":…}.`);
  }
  const { epoch, seq } = value as Partial<Record<keyof Position, unknown>>;
  return { epoch: checkEpoch(epoch, 'since.epoch'), seq: checkSeq(seq, 'since.seq', 0) };
}

/** @throws Refusal `bad_position` */
export function checkEpoch(value: unknown, name: string): string {
  if (typeof value === 'string' && value.length > 0 && value.length <= MAX_EPOCH_LENGTH) {
    return value;
  }
  throw new Refusal(
    'bad_position',
    `${name} is ${show(value)}; it has to be the epoch that came with seq.`,
  );
}

/** A checked publish. */
export interface Checked {
  readonly room: string;
  /** JSON text. */
  readonly data: string;
  readonly key: string | undefined;
  readonly uid: string | undefined;
}

/**
 * Checks a publish of any entrance: socket, HTTP or embedding API (V14). The size limit applies to the
 * JSON text that goes out, where numbers and escapes may be longer than in the input. `text`: the JSON
 * of `data` if it is known and `data` is a string.
 *
 * @throws Refusal `bad_room`, `bad_command`, `too_deep`, `message_too_big`
 */
export function checkPublish(
  room: unknown,
  data: unknown,
  key: unknown,
  uid: unknown,
  limits: CommandLimits,
  text?: string,
): Checked {
  const checked = {
    room: checkRoom(room, limits),
    data: text ?? checkData(data, limits),
    key: checkName('key', key, MAX_KEY_LENGTH),
    uid: checkName('uid', uid, MAX_UID_LENGTH),
  };
  const { maxMessageBytes } = limits;
  // A UTF-16 unit takes at most three bytes, so most texts need not be counted.
  if (checked.data.length * 3 > maxMessageBytes) {
    const bytes = UTF8.encode(checked.data).length;
    if (bytes > maxMessageBytes) {
      throw new Refusal(
        'message_too_big',
        `data has ${bytes} bytes; ${maxMessageBytes} are allowed.`,
      );
    }
  }
  return checked;
}

const UTF8 = new TextEncoder();

/**
 * A JavaScript value as `JSON.stringify` would write it, for `checkPublish`.
 *
 * @throws Refusal `bad_command` for what has no JSON: undefined, a function, a symbol, a BigInt, a
 * number that is not finite, a circular reference; `too_deep` if nested too deeply to be written
 */
export function jsonValueOf(value: unknown): unknown {
  let text: string | undefined;
  try {
    text = JSON.stringify(value, (_, each: unknown) => {
      if (isJson(each)) return each;
      throw new Refusal(
        'bad_command',
        `data contains ${String(typeof each)}, which JSON does not have.`,
      );
    });
  } catch (error) {
    if (error instanceof Refusal) throw error;
    if (error instanceof RangeError) {
      throw new Refusal('too_deep', 'data is nested too deeply to be written.');
    }
    throw new Refusal(
      'bad_command',
      'data cannot be written as JSON: it throws or has a circular reference.',
    );
  }
  if (text === undefined) return undefined;
  return JSON.parse(text);
}

/** Whether JSON has the value or, as for undefined, omits it by design. */
function isJson(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value);
  return !['function', 'symbol', 'bigint'].includes(typeof value);
}

function checkValue(value: unknown, levels: number, limits: CommandLimits): void {
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw new Refusal('bad_command', 'data has a number beyond ±1.8e308; send it as a string.');
  }
  if (typeof value !== 'object' || value === null) return;
  if (levels === 0) {
    throw new Refusal('too_deep', `data is nested deeper than ${limits.maxJsonDepth} levels.`);
  }
  const items: readonly unknown[] = Array.isArray(value) ? value : Object.values(value);
  for (const item of items) checkValue(item, levels - 1, limits);
}
