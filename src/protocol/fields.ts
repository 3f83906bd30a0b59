/** The checks that each field of a command passes before anyone sees it, from whatever entrance (V11, V14). */
import { Refusal } from '../errors.js';
import type { Position } from './events.js';

/** A client's own name for a command, echoed in the reply. */
export type CommandId = number | string;

/** What a command may look like; the server's options of the same names. */
export interface CommandLimits {
  /** Bytes of a frame with a command; `publish` has the transport's limit. */
  readonly maxCommandBytes: number;
  /** Bytes of UTF-8 of what is published, as JSON text. */
  readonly maxMessageBytes: number;
  readonly maxRoomNameLength: number;
  readonly roomNamePattern: RegExp;
  /** Levels of arrays and objects within `data`. */
  readonly maxJsonDepth: number;
}

const MAX_ID_LENGTH = 64;
export const MAX_KEY_LENGTH = 200;
export const MAX_UID_LENGTH = 64;
const MAX_EPOCH_LENGTH = 64;
/** Enough of a wrong value to recognise it by, never enough to echo a flood. */
const MAX_SHOWN = 40;

/** A value that is wrong, in an answer about it. */
export const show = (value: unknown): string => {
  const text = inShort(value);
  return text.length > MAX_SHOWN + 2 ? `${text.slice(0, MAX_SHOWN)}…` : text;
};

/** A program may give what JSON has not. */
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
    throw new Refusal(
      'bad_room',
      `room ${show(value)} has characters outside ${limits.roomNamePattern.source}.`,
    );
  }
  return value;
}

/** @throws Refusal `bad_command` */
function checkName(name: string, value: unknown, maxLength: number): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'string' && value.length > 0 && value.length <= maxLength) return value;
  throw new Refusal(
    'bad_command',
    `${name} is ${show(value)}; it may be a string of 1 to ${maxLength} characters.`,
  );
}

/**
 * The JSON text of `data`, which is looked at first: JSON.stringify recurses, and writes a number
 * too large for it as null.
 * @throws Refusal `bad_command` without data or with such a number, `too_deep` beyond `maxJsonDepth` levels
 */
function checkData(value: unknown, limits: CommandLimits): string {
  if (value === undefined) {
    throw new Refusal('bad_command', 'data is missing; any JSON value will do, null too.');
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
 * Where a member has been before; both fields, since a number says nothing without its epoch.
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

/** A publish of which everything has been checked. */
export interface Checked {
  readonly room: string;
  /** JSON text. */
  readonly data: string;
  readonly key: string | undefined;
  readonly uid: string | undefined;
}

/**
 * What every publish passes, from a socket, over HTTP or by a program (V14). The size is that of the
 * text that goes out: numbers and escapes may be longer there than where they came from. `text`: the
 * JSON of `data`, where it is known, and `data` is a text.
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
  // At most three bytes a unit: most texts need not be counted.
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
 * A value of a program as `JSON.stringify` has it, for `checkPublish`.
 *
 * @throws Refusal `bad_command` for what has no JSON: undefined, a function, a symbol, a BigInt, a
 *   number that is not finite, a circle; `too_deep` for what is nested too deeply to be written
 */
export function jsonValueOf(value: unknown): unknown {
  let text: string | undefined;
  try {
    text = JSON.stringify(value, (_, each: unknown) => {
      if (isJson(each)) return each;
      throw new Refusal(
        'bad_command',
        `data has ${String(typeof each)} in it, which JSON has not.`,
      );
    });
  } catch (error) {
    if (error instanceof Refusal) throw error;
    if (error instanceof RangeError) {
      throw new Refusal('too_deep', 'data is nested too deeply to be written.');
    }
    throw new Refusal('bad_command', 'data cannot be written as JSON: it throws, or has a circle.');
  }
  if (text === undefined) return undefined;
  return JSON.parse(text);
}

/** Whether JSON can say it, or leaves it out on purpose, as it does what is undefined. */
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
