/**
 * What workers say to each other about rooms, as bytes: `length kind fields`, a frame after the other.
 * Lengths are of what follows them; numbers are big-endian, texts UTF-8 behind their length, and the last
 * text of a frame goes to its end. A room has a number on each link, given by who opens it.
 *
 * Pure: no socket is known here (`link.ts`). Both ends are of one release, which the first frame says.
 */
import type { Payload, Position, Publication } from '../broker.js';

/** Changes with what is written here. */
export const VERSION = 2;

/** From who wants something of a room to its owner, and back. */
export const KIND = {
  hello: 1,
  open: 2,
  close: 3,
  publish: 4,
  ask: 5,
  board: 6,
  opened: 16,
  notOpened: 17,
  message: 18,
  lost: 19,
  reset: 20,
  accepted: 21,
  refused: 22,
  answer: 23,
} as const;

/** Bytes before the kind. */
export const HEAD = 4;

const SLAB = 65_536;

/** Which texts of a payload are there, in this order; null, undefined and a text are all different. */
const TEXTS = ['from', 'user', 'key', 'event', 'except', 'trace'] as const;

/** Frames that wait to be sent, one behind the other. */
export class FrameWriter {
  #slab: Buffer = Buffer.allocUnsafeSlow(SLAB);
  /** What has been taken ends here. */
  #start = 0;
  #end = 0;
  #frame = 0;

  get bytes(): number {
    return this.#end - this.#start;
  }

  /** Everything since the last call. The bytes are not written to again. */
  take(): Buffer {
    const taken = this.#slab.subarray(this.#start, this.#end);
    this.#start = this.#end;
    return taken;
  }

  begin(kind: number): this {
    this.#frame = this.#end;
    this.#need(HEAD + 1);
    this.#end += HEAD;
    this.#slab[this.#end++] = kind;
    return this;
  }

  end(): void {
    this.#slab.writeUInt32BE(this.#end - this.#frame - HEAD, this.#frame);
  }

  byte(value: number): this {
    this.#need(1);
    this.#slab[this.#end++] = value;
    return this;
  }

  u32(value: number): this {
    this.#need(4);
    this.#end = this.#slab.writeUInt32BE(value, this.#end);
    return this;
  }

  /** Numbers of messages pass 2^32. */
  f64(value: number): this {
    this.#need(8);
    this.#end = this.#slab.writeDoubleBE(value, this.#end);
    return this;
  }

  text(text: string): this {
    // As many bytes as a text of this length may have.
    this.#need(2 + text.length * 3);
    const length = this.#slab.write(text, this.#end + 2);
    this.#slab.writeUInt16BE(length, this.#end);
    this.#end += 2 + length;
    return this;
  }

  /** The last of a frame. */
  rest(text: string): this {
    this.#need(text.length * 3);
    this.#end += this.#slab.write(text, this.#end);
    return this;
  }

  /** What another writer has made: `tailOf`. */
  bytesOf(tail: Buffer): this {
    this.#need(tail.length);
    this.#end += tail.copy(this.#slab, this.#end);
    return this;
  }

  position({ seq, epoch }: Position): this {
    return this.f64(seq).text(epoch);
  }

  payload(payload: Payload): this {
    let flags = 0;
    TEXTS.forEach((name, i) => {
      if (typeof payload[name] === 'string') flags |= 1 << i;
    });
    this.byte(flags);
    for (const name of TEXTS) {
      const text = payload[name];
      if (typeof text === 'string') this.text(text);
    }
    return this.rest(payload.data);
  }

  #need(bytes: number): void {
    if (this.#end + bytes <= this.#slab.length) return;
    const waiting = this.#slab.subarray(this.#start, this.#end);
    const slab = Buffer.allocUnsafeSlow(Math.max(SLAB, 2 * (waiting.length + bytes)));
    waiting.copy(slab);
    this.#frame -= this.#start;
    this.#end -= this.#start;
    this.#start = 0;
    this.#slab = slab;
  }
}

const tails = new FrameWriter();

/** What a publication has in the frame of every guest, made once for all of them (V6). */
export function tailOf(publication: Publication): Buffer {
  tails.f64(publication.seq).f64(publication.at).payload(publication);
  return tails.take();
}

/** One frame, read from its beginning. */
export class FrameReader {
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  #end = 0;

  /** `start`: behind the length. */
  begin(bytes: Buffer, start: number, end: number): number {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    return this.byte();
  }

  byte(): number {
    const value = this.#bytes.readUInt8(this.#at);
    this.#at += 1;
    return value;
  }

  u32(): number {
    const value = this.#bytes.readUInt32BE(this.#at);
    this.#at += 4;
    return value;
  }

  f64(): number {
    const value = this.#bytes.readDoubleBE(this.#at);
    this.#at += 8;
    return value;
  }

  text(): string {
    const start = this.#at + 2;
    this.#at = start + this.#bytes.readUInt16BE(this.#at);
    return this.#bytes.toString('utf8', start, this.#at);
  }

  rest(): string {
    return this.#bytes.toString('utf8', this.#at, this.#end);
  }

  position(): Position {
    const seq = this.f64();
    return { seq, epoch: this.text() };
  }

  payload(): Payload {
    const flags = this.byte();
    const next = (i: number) => ((flags & (1 << i)) === 0 ? undefined : this.text());
    // In the order they are written.
    const from = next(0) ?? null;
    const user = next(1);
    const key = next(2);
    const event = next(3);
    const except = next(4);
    const trace = next(5);
    return { data: this.rest(), from, user, key, event, except, trace };
  }
}
