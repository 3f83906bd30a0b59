/**
 * The stamp at the end of every load message: its publisher, its number, when it was due and how late
 * it was sent. Fixed length and plain ASCII, so that it passes through JSON, SockJS and templates
 * unchanged and can be read at a known distance from a frame's end without parsing.
 *
 *     @@ tag:4  publisher:4  number:8  due:10  late:6        (hex digits; due and late in µs)
 *
 * Not here: the checks on the numbers (ledger.ts).
 */

/** Bytes of a stamp; also the smallest payload size. */
export const STAMP_LENGTH = 34;

const PUBLISHER = 6;
const NUMBER = 10;
const DUE = 18;
const LATE = 28;
const AT_SIGN = 0x40;
const LATE_MAX = 0xff_ffff;
const PADDING = 0x2e;
/** Eight bytes of padding as a float64; no other eight bytes compare equal to it. */
const EIGHT_PADDING = new DataView(new Uint8Array(8).fill(PADDING).buffer).getFloat64(0, true);
/** Up to this many bytes of padding, a loop in JavaScript is faster than a native comparison. */
const COMPARED_HERE = 512;

const HEX = Buffer.from('0123456789abcdef');
const VALUE = new Uint8Array(256);
for (let i = 0; i < 16; i++) VALUE[HEX[i]!] = i;

function put(buf: Uint8Array, at: number, digits: number, value: number): void {
  let rest = value;
  for (let i = at + digits - 1; i >= at; i--) {
    buf[i] = HEX[rest % 16]!;
    rest = Math.floor(rest / 16);
  }
}

function four(buf: Uint8Array, at: number): number {
  return (
    (VALUE[buf[at]!]! << 12) |
    (VALUE[buf[at + 1]!]! << 8) |
    (VALUE[buf[at + 2]!]! << 4) |
    VALUE[buf[at + 3]!]!
  );
}

function two(buf: Uint8Array, at: number): number {
  return (VALUE[buf[at]!]! << 4) | VALUE[buf[at + 1]!]!;
}

export const publisherOf = (buf: Uint8Array, at: number): number => four(buf, at + PUBLISHER);
export const numberOf = (buf: Uint8Array, at: number): number =>
  four(buf, at + NUMBER) * 65_536 + four(buf, at + NUMBER + 4);
/** When the message was due, in µs since the run's epoch. */
export const dueOf = (buf: Uint8Array, at: number): number =>
  (four(buf, at + DUE) * 65_536 + four(buf, at + DUE + 4)) * 256 + two(buf, at + DUE + 8);
/** How long after its due time the message was written, in µs; at most 16.7 s. */
export const lateOf = (buf: Uint8Array, at: number): number =>
  four(buf, at + LATE) * 256 + two(buf, at + LATE + 4);

/** Writes and finds the stamps of one run; `tag` distinguishes them from other runs' stamps. */
export class Stamps {
  #padding: Buffer = Buffer.alloc(0);
  #viewed: Uint8Array = this.#padding;
  #view: DataView = new DataView(new ArrayBuffer(0));
  readonly #mark: Buffer;
  readonly #t0: number;
  readonly #t1: number;
  readonly #t2: number;
  readonly #t3: number;

  /** @param tag four hex digits */
  constructor(tag: string) {
    this.#mark = Buffer.from(`@@${tag}`);
    this.#t0 = this.#mark[2]!;
    this.#t1 = this.#mark[3]!;
    this.#t2 = this.#mark[4]!;
    this.#t3 = this.#mark[5]!;
  }

  /** Whether a stamp of this run starts at `at`. */
  isAt(buf: Uint8Array, at: number): boolean {
    return (
      buf[at] === AT_SIGN &&
      buf[at + 1] === AT_SIGN &&
      buf[at + 2] === this.#t0 &&
      buf[at + 3] === this.#t1 &&
      buf[at + 4] === this.#t2 &&
      buf[at + 5] === this.#t3
    );
  }

  /** Start of the first whole stamp within `[start, end)`, or -1. */
  find(buf: Buffer, start: number, end: number): number {
    const at = buf.indexOf(this.#mark, start);
    return at >= 0 && at + STAMP_LENGTH <= end ? at : -1;
  }

  /** Whether the bytes before the stamp at `at` are the padding of a payload of `size` bytes. */
  isIntact(buf: Uint8Array, at: number, size: number): boolean {
    const length = size - STAMP_LENGTH;
    if (at < length) return false;
    if (length > COMPARED_HERE) {
      if (this.#padding.length !== length) this.#padding = Buffer.alloc(length, PADDING);
      return this.#padding.compare(buf, at - length, at) === 0;
    }
    const view = this.#viewOf(buf);
    let i = at - length;
    for (; i + 8 <= at; i += 8) if (view.getFloat64(i, true) !== EIGHT_PADDING) return false;
    for (; i < at; i++) if (buf[i] !== PADDING) return false;
    return true;
  }

  /** Keeps the view of the last buffer: most messages lie in one buffer (wire/socket.ts). */
  #viewOf(buf: Uint8Array): DataView {
    if (this.#viewed !== buf) {
      this.#viewed = buf;
      this.#view = new DataView(buf.buffer, buf.byteOffset, buf.byteLength);
    }
    return this.#view;
  }

  /** A payload of `size` bytes: padding, then the stamp. */
  payload(size: number, publisher: number, number: number, due: number, late: number): Buffer {
    const buf = Buffer.alloc(size, PADDING);
    const at = size - STAMP_LENGTH;
    this.#mark.copy(buf, at);
    put(buf, at + PUBLISHER, 4, publisher);
    put(buf, at + NUMBER, 8, number);
    put(buf, at + DUE, 10, Math.floor(due));
    put(buf, at + LATE, 6, Math.min(LATE_MAX, Math.max(0, Math.round(late))));
    return buf;
  }
}
