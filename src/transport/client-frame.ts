/**
 * The frame that clients send most, read where it lies: a whole text, masked, in one fragment, of less
 * than 64 KiB. Whatever else comes, also what is wrong in any way, is for `ws` to read.
 *
 * Not here: what came before in the same message (`intake.ts`), where the bytes are from (`raw-read.ts`).
 */
import { isUtf8 } from 'node:buffer';

const FIN_AND_TEXT = 0x81;
const MASKED = 0x80;
const LENGTH_IN_16_BITS = 126;
const MASK_BYTES = 4;
/** Of each of four bytes the bit that no character of ASCII has. */
const BEYOND_ASCII = 0x80808080;

/** Where a text is unmasked: the bytes that were read stay as they are. */
const plain = Buffer.allocUnsafeSlow(64 * 1024);
const plainView = new DataView(plain.buffer);

/** The text that was read last. */
export class ClientText {
  text = '';
  /** Of UTF-8. */
  bytes = 0;

  /**
   * Reads the frame at `at`. Returns where it ends, or 0 where it is another, is not whole before
   * `end`, or has more than `maxBytes`.
   */
  read(view: DataView, at: number, end: number, maxBytes: number): number {
    if (end - at < 2 || view.getUint8(at) !== FIN_AND_TEXT) return 0;
    let bytes = view.getUint8(at + 1) - MASKED;
    // Less than 0 where it is not masked.
    if (bytes < 0 || bytes > LENGTH_IN_16_BITS) return 0;
    let start = at + 2 + MASK_BYTES;
    if (bytes === LENGTH_IN_16_BITS) {
      if (end - at < 4) return 0;
      bytes = view.getUint16(at + 2);
      start += 2;
    }
    if (start + bytes > end || bytes > maxBytes) return 0;
    const isAscii = unmask(view, start, bytes);
    if (!isAscii && !isUtf8(plain.subarray(0, bytes))) return 0;
    this.text = plain.toString(isAscii ? 'latin1' : 'utf8', 0, bytes);
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
