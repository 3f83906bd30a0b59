/**
 * The frames that clients send most, read where they lie: a whole text, masked, in one fragment, of less
 * than 64 KiB, and a pong. Whatever else comes, also what is wrong in any way, is for `ws` to read.
 *
 * Not here: what came before in the same message (`intake.ts`), where the bytes are from (`raw-read.ts`).
 */
import { isUtf8 } from 'node:buffer';

const FIN_AND_TEXT = 0x81;
const FIN_AND_PONG = 0x8a;
const MASKED = 0x80;
const LENGTH_IN_16_BITS = 126;
const MASK_BYTES = 4;
/** Of each of four bytes the bit that no character of ASCII has. */
const BEYOND_ASCII = 0x80808080;

/** Where a payload is unmasked: the bytes that were read stay as they are. */
const plain = Buffer.allocUnsafeSlow(64 * 1024);
const plainView = new DataView(plain.buffer);

/** What was read last. */
export class ClientFrame {
  isPong = false;
  /** Of a pong the payload, a character a byte. */
  text = '';
  /** Of the payload. */
  bytes = 0;

  /**
   * Reads the frame at `at`. Returns where it ends, or 0 where it is another, is not whole before
   * `end`, or has more than `maxBytes`.
   */
  read(view: DataView, at: number, end: number, maxBytes: number): number {
    if (end - at < 2) return 0;
    const first = view.getUint8(at);
    const isPong = first === FIN_AND_PONG;
    if (first !== FIN_AND_TEXT && !isPong) return 0;
    let bytes = view.getUint8(at + 1) - MASKED;
    // Less than 0 where it is not masked.
    if (bytes < 0 || bytes > LENGTH_IN_16_BITS) return 0;
    let start = at + 2 + MASK_BYTES;
    if (bytes === LENGTH_IN_16_BITS) {
      // A frame of control has a length in 7 bits.
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

/** Puts into `plain` what stands behind its mask at `start`; says whether it is ASCII. */
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
