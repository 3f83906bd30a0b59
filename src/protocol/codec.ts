/**
 * The contract of a codec: decodes a client's text into the fields of a command, and encodes events as
 * text. Pure and browser-safe, so that a client SDK can share it.
 *
 * Not here: checking the fields, which each command does (`session/commands/`).
 */
import type { Refusal } from '../errors.js';
import type { Event, MessageEvent, PastEvent } from './events.js';
import type { CommandId } from './fields.js';

/** Unchecked fields by their protocol names, including `type`. */
export type Fields = Readonly<Record<string, unknown>>;

/** A decoded command. */
export interface Asked {
  readonly id: CommandId | undefined;
  readonly fields: Fields;
  /**
   * JSON text of `fields.data`, exactly as `JSON.stringify` writes it, if it could be cut from the
   * frame.
   */
  readonly data?: string | undefined;
}

/** A frame that is no command, with the `id` for the error if one could be read. */
export interface Refused {
  readonly id: CommandId | undefined;
  readonly refusal: Refusal;
}

export interface Codec {
  readonly name: string;
  /** Never throws: returns an error as a value. */
  decode(text: string): Asked | Refused;
  encode(event: Event): string;
  /** The hot path. `data` is JSON text and is copied unchanged. */
  encodeMessage(message: MessageEvent): string;
  /** `data` as in `encodeMessage`. */
  encodePast(past: PastEvent): string;
}
