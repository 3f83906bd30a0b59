/**
 * Client frames, and the marker that identifies a message: `@@` and its number in 8 digits.
 */
export const MARKER = '@@';
export const DIGITS = 8;
export const MARKER_BYTES = MARKER.length + DIGITS;

// Not zero: some servers skip the unmasking for a zero mask, and no browser sends one.
const MASK = Buffer.from([0x5b, 0xa1, 0x3c, 0xe7]);

/**
 * @param {string} payload
 * @param {1 | 2} opcode
 * @returns {Buffer} one masked frame
 */
export function clientFrame(payload, opcode) {
  const body = Buffer.from(payload);
  const short = body.length < 126;
  const frame = Buffer.alloc((short ? 2 : 4) + MASK.length + body.length);
  frame[0] = 0x80 | opcode;
  if (short) {
    frame[1] = 0x80 | body.length;
  } else {
    frame[1] = 0x80 | 126;
    frame.writeUInt16BE(body.length, 2);
  }
  const start = frame.length - body.length;
  MASK.copy(frame, start - MASK.length);
  for (let i = 0; i < body.length; i++) {
    frame[start + i] = /** @type {number} */ (body[i]) ^ /** @type {number} */ (MASK[i & 3]);
  }
  return frame;
}

/** An empty control frame. @param {8 | 9 | 10} opcode */
export const controlFrame = (opcode) => Buffer.concat([Buffer.from([0x80 | opcode, 0x80]), MASK]);

/** Data of `size` bytes that begins with a marker. @param {number} size */
export const markedData = (size) => `${MARKER}${'0'.repeat(DIGITS)}`.padEnd(size, 'x');

/**
 * Makes copies of one publish frame that differ only in the number of their marker.
 *
 * @param {string} payload contains one marker
 * @param {1 | 2} opcode
 * @returns {(number: number) => Buffer}
 */
export function numberedFrames(payload, opcode) {
  const template = clientFrame(payload, opcode);
  const body = template.length - Buffer.byteLength(payload);
  const first = payload.indexOf(MARKER) + MARKER.length;
  return (number) => {
    const frame = Buffer.allocUnsafe(template.length);
    template.copy(frame);
    for (let i = first + DIGITS - 1, rest = number; i >= first; i--) {
      frame[body + i] = (48 + (rest % 10)) ^ /** @type {number} */ (MASK[i & 3]);
      rest = Math.floor(rest / 10);
    }
    return frame;
  };
}
