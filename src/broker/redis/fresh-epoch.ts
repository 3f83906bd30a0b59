/** Random names for epochs, long enough to be unique. Drawn in blocks: a single draw costs 2 µs. */
import { randomBytes } from 'node:crypto';

const BYTES = 8;
const AT_ONCE = 256;
const DIGITS = 2 * BYTES;

let drawn = '';
let used = 0;

export function freshEpoch(): string {
  if (used === drawn.length) {
    drawn = randomBytes(BYTES * AT_ONCE).toString('hex');
    used = 0;
  }
  used += DIGITS;
  return drawn.slice(used - DIGITS, used);
}
