/**
 * Binary frames between workers: `length kind fields`, one after the other. A length counts the bytes
 * after it; numbers are big-endian; a text is UTF-8 after its length, and the last text of a frame
 * extends to its end. A room has a number per link, assigned by the worker that opens it.
 *
 * Pure: sockets are in `link.ts`. Both ends run the same release, which the first frame checks.
 */
import type { Payload, Position, Publication } from '../broker.js';

/** Must change with the format. */
export const VERSION = 3;

/** Kinds below 16 go to the owner of a room, the others come back from it. */
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

/** Flags for the optional texts of a payload, which follow in this order. */
const HAS = { from: 1, user: 2, key: 4, event: 8, except: 16, trace: 32 } as const;

/** The latest publication written, and its encoded bytes: it is sent to several subscribers in turn. */
let latest: Publication | null = null;
let latestSlab: Buffer = Buffer.alloc(0);
let latestStart = 0;
let latestEnd = 0;

/** Buffer of frames to be sent. */
export class FrameWriter {
  #slab: Buffer = Buffer.allocUnsafeSlow(SLAB);
  /** End of the bytes already taken. */
  #start = 0;
  #end = 0;
  #frame = 0;

  get bytes(): number {
    return this.#end - this.#start;
  }

  /** Returns all bytes since the last call. They are not written to again. */
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

  /** For sequence numbers, which can exceed 2^32. */
  f64(value: number): this {
    this.#need(8);
    this.#end = this.#slab.writeDoubleBE(value, this.#end);
    return this;
  }

  text(text: string): this {
    // The most bytes that a text of this length can have.
    this.#need(2 + text.length * 3);
    const length = this.#slab.write(text, this.#end + 2);
    this.#slab.writeUInt16BE(length, this.#end);
    this.#end += 2 + length;
    return this;
  }

  /** The last text of a frame, without a length. */
  rest(text: string): this {
    this.#need(text.length * 3);
    this.#end += this.#slab.write(text, this.#end);
    return this;
  }

  /** Extends to the end of the frame. Encoded once for all subscribers (V6). */
  publication(publication: Publication): this {
    if (publication === latest) {
      this.#need(latestEnd - latestStart);
      this.#end += latestSlab.copy(this.#slab, this.#end, latestStart, latestEnd);
      return this;
    }
    const behind = this.#end - this.#frame;
    this.f64(publication.seq).f64(publication.at).payload(publication);
    latest = publication;
    latestSlab = this.#slab;
    latestStart = this.#frame + behind;
    latestEnd = this.#end;
    return this;
  }

  position({ seq, epoch }: Position): this {
    return this.f64(seq).text(epoch);
  }

  payload(payload: Payload): this {
    // Written out instead of a loop over names, since it runs for every message.
    const { from, user, key, event, except, trace } = payload;
    let flags = 0;
    if (from !== null) flags |= HAS.from;
    if (user !== undefined) flags |= HAS.user;
    if (key !== undefined) flags |= HAS.key;
    if (event !== undefined) flags |= HAS.event;
    if (except !== undefined) flags |= HAS.except;
    if (trace !== undefined) flags |= HAS.trace;
    this.byte(flags);
    if (from !== null) this.text(from);
    if (user !== undefined) this.text(user);
    if (key !== undefined) this.text(key);
    if (event !== undefined) this.text(event);
    if (except !== undefined) this.text(except);
    if (trace !== undefined) this.text(trace);
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

/** Reads one frame from start to end. */
export class FrameReader {
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  #end = 0;

  /** `start`: first byte after the length. Returns the kind. */
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
    // In the order of writing.
    const from = this.#textIf(flags & HAS.from) ?? null;
    const user = this.#textIf(flags & HAS.user);
    const key = this.#textIf(flags & HAS.key);
    const event = this.#textIf(flags & HAS.event);
    const except = this.#textIf(flags & HAS.except);
    const trace = this.#textIf(flags & HAS.trace);
    return { data: this.rest(), from, user, key, event, except, trace };
  }

  publication(room: string, epoch: string): Publication {
    const seq = this.f64();
    const at = this.f64();
    const { data, from, user, key, event, except, trace } = this.payload();
    return { room, seq, epoch, at, data, from, user, key, event, except, trace };
  }

  #textIf(flag: number): string | undefined {
    return flag === 0 ? undefined : this.text();
  }
}
