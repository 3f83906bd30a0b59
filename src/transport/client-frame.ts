/**
 * Decodes the most common client frames in place: an unfragmented masked text of less than 64 KiB, and a
 * pong. Every other frame, also any invalid one, is left to `ws`.
 *
 * Not here: earlier fragments of the message (`intake.ts`), the source of the bytes (`raw-read.ts`).
 */
import { isUtf8 } from 'node:buffer';

const FIN_AND_TEXT = 0x81;
const FIN_AND_PONG = 0x8a;
const MASKED = 0x80;
const LENGTH_IN_16_BITS = 126;
const MASK_BYTES = 4;
/** The high bit of each of four bytes, which ASCII never sets. */
const BEYOND_ASCII = 0x80808080;

/** Payloads are unmasked into this buffer; the input stays unchanged. */
const plain = Buffer.allocUnsafeSlow(64 * 1024);
const plainView = new DataView(plain.buffer);

/** The frame decoded last. */
export class ClientFrame {
  isPong = false;
  /** The text; of a pong the payload, one character per byte. */
  text = '';
  /** Bytes of the payload. */
  bytes = 0;

  /**
   * Decodes the frame at `at`. Returns where it ends, or 0 if it is of another kind, is incomplete
   * before `end`, or has more than `maxBytes`.
   */
  read(view: DataView, at: number, end: number, maxBytes: number): number {
    if (end - at < 2) return 0;
    const first = view.getUint8(at);
    const isPong = first === FIN_AND_PONG;
    if (first !== FIN_AND_TEXT && !isPong) return 0;
    let bytes = view.getUint8(at + 1) - MASKED;
    // Negative if the frame is not masked.
    if (bytes < 0 || bytes > LENGTH_IN_16_BITS) return 0;
    let start = at + 2 + MASK_BYTES;
    if (bytes === LENGTH_IN_16_BITS) {
      // A control frame has a 7-bit length.
      if (isPong || end - at < 4) return 0;
      bytes = view.getUint16(at + 2);
      start += 2;
    }
    if (start + bytes > end || bytes > maxBytes) return 0;
    const isAscii = unmask(view, start, bytes);
    const isLatin1 = isAscii || isPong;
    if (!isLatin1 && !isUtf8(plain.subarray(0, bytes))) return 0;
    this.isPong = isPong;
    this.text = plain.toString(isLatin1 ? 'latin1' : 'utf8', 0, bytes);
    this.bytes = bytes;
    return start + bytes;
  }
}

/** Unmasks the payload at `start`, which follows its mask, into `plain`. Returns whether it is ASCII. */
function unmask(view: DataView, start: number, bytes: number): boolean {
  const mask = view.getInt32(start - MASK_BYTES);
  const words = bytes & ~3;
  let seen = 0;
  let at = 0;
  for (; at < words; at += 4) {
    const word = view.getInt32(start + at) ^ mask;
    plainView.setInt32(at, word);
    seen |= word;
  }
  for (; at < bytes; at += 1) {
    const byte = view.getUint8(start + at) ^ view.getUint8(start - MASK_BYTES + (at & 3));
    plain[at] = byte;
    seen |= byte;
  }
  return (seen & BEYOND_ASCII) === 0;
}
