/**
 * Text frames sent by a server: unmasked, never fragmented (RFC 6455, 5.2). Encoded here so that a
 * message is framed once for all members and many frames go out in one write (V6).
 */
import type { Encoding, Framing } from './transport.js';

const FIN_AND_TEXT = 0x81;

/** Header length of a frame with a payload of `length` bytes. */
const headerBytes = (length: number): number => (length < 126 ? 2 : length < 65_536 ? 4 : 10);

function writeHeader(frame: Buffer, length: number): number {
  frame[0] = FIN_AND_TEXT;
  if (length < 126) {
    frame[1] = length;
    return 2;
  }
  if (length < 65_536) {
    frame[1] = 126;
    frame.writeUInt16BE(length, 2);
    return 4;
  }
  frame[1] = 127;
  frame.writeUInt32BE(Math.floor(length / 2 ** 32), 2);
  frame.writeUInt32BE(length >>> 0, 6);
  return 10;
}

export function textFrame(text: string): Buffer {
  const length = Buffer.byteLength(text);
  const frame = Buffer.allocUnsafe(headerBytes(length) + length);
  const at = writeHeader(frame, length);
  // A text with as many bytes as characters is ASCII; latin1 is written faster than UTF-8.
  frame.write(text, at, length === text.length ? 'latin1' : 'utf8');
  return frame;
}

/** One frame with `parts` as its payload, `bytes` bytes in all. */
export function textFrameOf(parts: readonly Buffer[], bytes: number): Buffer {
  const frame = Buffer.allocUnsafe(headerBytes(bytes) + bytes);
  let at = writeHeader(frame, bytes);
  for (const part of parts) at += part.copy(frame, at);
  return frame;
}

const PLAIN: Encoding = { index: 0, encode: textFrame };

/** One WebSocket frame per message, concatenated. */
export const plainFraming: Framing = {
  index: 0,
  encoding: PLAIN,
  join: (frames, bytes) =>
    frames.length === 1 ? (frames[0] as Buffer) : Buffer.concat(frames, bytes),
};
