/**
 * What workers say to each other about rooms, as bytes: `length kind fields`, a frame after the other.
 * Lengths are of what follows them; numbers are big-endian, texts UTF-8 behind their length, and the last
 * text of a frame goes to its end. A room has a number on each link, given by who opens it.
 *
 * Pure: no socket is known here (`link.ts`). Both ends are of one release, which the first frame says.
 */
import type { Payload, Position, Publication } from '../broker.js';

/** Changes with what is written here. */
export const VERSION = 3;

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

/** Texts of a payload that are there, which follow in this order. */
const HAS = { from: 1, user: 2, key: 4, event: 8, except: 16, trace: 32 } as const;

/** The publication that was written last, and where its bytes are: all its guests are told in turn. */
let latest: Publication | null = null;
let latestSlab: Buffer = Buffer.alloc(0);
let latestStart = 0;
let latestEnd = 0;

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

  /** To the end of the frame; for all guests it is made once (V6). */
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
    // Not by a list of names: each message comes through here.
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
    // In the order they are written.
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

  #textIf(isThere: number): string | undefined {
    return isThere === 0 ? undefined : this.text();
  }
}
