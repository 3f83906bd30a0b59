/** Protocol v1 as JSON text, one object a frame. */
import { Refusal } from '../errors.js';
import type { Codec, Refused } from './codec.js';
import {
  type Command,
  type CommandId,
  type CommandLimits,
  checkCommand,
  checkId,
} from './commands.js';
import type { Event, MessageEvent } from './events.js';

export class JsonCodec implements Codec {
  readonly name = 'json';
  readonly #limits: CommandLimits;

  constructor(limits: CommandLimits) {
    this.#limits = limits;
  }

  decode(text: string, bytes: number): Command | Refused {
    let id: CommandId | undefined;
    try {
      const value = parseObject(text);
      id = checkId(value['id']);
      return checkCommand(value, id, bytes, this.#limits);
    } catch (error) {
      if (error instanceof Refusal) return { type: 'refused', id, refusal: error };
      throw error;
    }
  }

  encode(event: Event): string {
    return JSON.stringify(event);
  }

  encodeMessage(message: MessageEvent): string {
    const from = message.from === null ? 'null' : JSON.stringify(message.from);
    const key = message.key === undefined ? '' : `,"key":${JSON.stringify(message.key)}`;
    return `{"type":"message","room":${JSON.stringify(message.room)},"seq":${message.seq},"from":${from},"at":${message.at},"data":${message.data}${key}}`;
  }
}

/** @throws Refusal `bad_json` or `bad_command` */
function parseObject(text: string): Record<string, unknown> {
  let value: unknown;
  // As in `Refusal`: nobody reads where in here it was not JSON.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Refusal('bad_json', 'The frame is not JSON; send one object a frame.');
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Refusal('bad_command', 'The frame is not a JSON object; send one object a frame.');
  }
  return value as Record<string, unknown>;
}
