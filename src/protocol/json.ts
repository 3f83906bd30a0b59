/** Protocol v1 as JSON text, one object a frame. */
import { Refusal } from '../errors.js';
import type { Asked, Codec, Fields, Refused } from './codec.js';
import type { Event, MessageEvent } from './events.js';
import { type CommandId, checkId } from './fields.js';

export class JsonCodec implements Codec {
  readonly name = 'json';

  decode(text: string): Asked | Refused {
    let id: CommandId | undefined;
    try {
      const fields = parseObject(text);
      id = checkId(fields['id']);
      return { id, fields };
    } catch (error) {
      if (error instanceof Refusal) return { id, refusal: error };
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
