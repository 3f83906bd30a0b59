/**
 * The contract of a codec: text of a client to the fields of a command, events of ours to text. Pure
 * and browser-safe, so that a client SDK can share it.
 *
 * Not here: what the fields may be, which is for the command to say (`session/commands/`).
 */
import type { Refusal } from '../errors.js';
import type { Event, MessageEvent, PastEvent } from './events.js';
import type { CommandId } from './fields.js';

/** By the names that the protocol has for them, `type` among them; nothing of them has been checked. */
export type Fields = Readonly<Record<string, unknown>>;

/** What a client asks for. */
export interface Asked {
  readonly id: CommandId | undefined;
  readonly fields: Fields;
  /** The JSON of `fields.data`, as `JSON.stringify` has it, where the frame has it in these words. */
  readonly data?: string | undefined;
}

/** A frame that asks for nothing, with the `id` to answer under where one could be read. */
export interface Refused {
  readonly id: CommandId | undefined;
  readonly refusal: Refusal;
}

export interface Codec {
  readonly name: string;
  /** Never throws: what is wrong comes back as a value. */
  decode(text: string): Asked | Refused;
  encode(event: Event): string;
  /** The hot one: `data` is JSON text and goes out as it is. */
  encodeMessage(message: MessageEvent): string;
  /** `data` as above. */
  encodePast(past: PastEvent): string;
}
