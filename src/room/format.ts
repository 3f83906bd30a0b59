/** A format encodes events for one kind of member: a codec and an encoding (V6). */
import type { Codec } from '../protocol/codec.js';
import type { Event, MessageEvent, PastEvent } from '../protocol/events.js';
import { type Framing, TRANSPORTS } from '../transport/transport.js';

type Encoding = Framing['encoding'];

export class Format {
  constructor(
    /** Dense from 0: frames are cached in arrays. */
    readonly index: number,
    readonly codec: Codec,
    readonly encoding: Encoding,
  ) {}

  encode(event: Event): Buffer {
    return this.encoding.encode(this.codec.encode(event));
  }

  encodeMessage(message: MessageEvent): Buffer {
    return this.encoding.encode(this.codec.encodeMessage(message));
  }

  encodePast(past: PastEvent): Buffer {
    return this.encoding.encode(this.codec.encodePast(past));
  }

  /**
   * Equal for members with the same format and framing, which share batches. Dense enough for arrays.
   */
  kindOf(framing: Framing): number {
    return this.index * TRANSPORTS.length + framing.index;
  }
}

/** All formats of a server, each created once. */
export class Formats {
  readonly #all: Format[] = [];

  of(codec: Codec, encoding: Encoding): Format {
    const made = this.#all.find(
      (format) => format.codec === codec && format.encoding.index === encoding.index,
    );
    if (made !== undefined) return made;
    const format = new Format(this.#all.length, codec, encoding);
    this.#all.push(format);
    return format;
  }
}
