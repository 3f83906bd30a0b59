/**
 * The contract of a codec: text of a client to a command, events of ours to text. Pure and
 * browser-safe, so that a client SDK can share it. Checking is part of decoding: what comes out is
 * a command every field of which has been looked at (V11).
 */
import type { Refusal } from '../errors.js';
import type { Command, CommandId } from './commands.js';
import type { Event, MessageEvent } from './events.js';

/** A command that cannot be carried out, with the `id` to answer under where one could be read. */
export interface Refused {
  readonly type: 'refused';
  readonly id?: CommandId | undefined;
  readonly refusal: Refusal;
}

export interface Codec {
  readonly name: string;
  /** Never throws: what is wrong comes back as a value. `bytes` is the length as received. */
  decode(text: string, bytes: number): Command | Refused;
  encode(event: Event): string;
  /** The hot one: `data` is JSON text and goes out as it is. */
  encodeMessage(message: MessageEvent): string;
}
