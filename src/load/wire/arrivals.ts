/**
 * What this process has read and not looked at yet. Reading goes first: bytes get their time as they are
 * read, and are kept until there is nothing more to read, so that no message is late for what there is to
 * do about those before it. A message's time lies between its arrival in the kernel and its decoding: it
 * is never too early, and what it lay in the kernel while others were read is in it.
 * Not here: sockets (socket.ts).
 */

export interface Hearer {
  /** `buf[start, end)` was read at `now`; valid during the call only. */
  heard(buf: Buffer, start: number, end: number, now: number): void;
}

/** As much is kept, in bytes and in reads; then the first ones are heard before more is read. */
const KEPT_BYTES = 256 * 1024;
const KEPT_READS = 2048;
/** More at once is not worth a copy. */
const COPIED = 4096;
/** So many are heard before it is asked again whether there is more to read. */
const HEARD = 64;

const bytes = Buffer.allocUnsafeSlow(KEPT_BYTES);
const hearers = new Array<Hearer | undefined>(KEPT_READS);
const times = new Float64Array(KEPT_READS);
/** Where each begins; where it ends, the next one does. */
const starts = new Int32Array(KEPT_READS + 1);
let next = 0;
let kept = 0;
/** Something has been read since it was last asked. */
let hasRead = false;
let isWaiting = false;

/** Keeps a copy of `buf[0, length)`, which was read at `now`. */
export function arrived(hearer: Hearer, buf: Buffer, length: number, now: number): void {
  if (length > COPIED) {
    hearAll();
    hearer.heard(buf, 0, length, now);
    return;
  }
  if (kept === KEPT_READS || starts[kept]! + length > KEPT_BYTES) hearAll();
  buf.copy(bytes, starts[kept]!, 0, length);
  hearers[kept] = hearer;
  times[kept] = now;
  starts[kept + 1] = starts[kept]! + length;
  kept++;
  hasRead = true;
  if (isWaiting) return;
  isWaiting = true;
  setImmediate(turn);
}

/** Nothing is kept any more once it returns. */
export function hearAll(): void {
  hear(kept);
}

/** Once in each turn of the event loop, behind what was there to read. */
function turn(): void {
  if (!hasRead) hear(Math.min(kept, next + HEARD));
  hasRead = false;
  isWaiting = kept > 0;
  if (isWaiting) setImmediate(turn);
}

function hear(until: number): void {
  while (next < Math.min(until, kept)) {
    const at = next++;
    const hearer = hearers[at]!;
    hearers[at] = undefined;
    hearer.heard(bytes, starts[at]!, starts[at + 1]!, times[at]!);
  }
  if (next === kept) {
    next = 0;
    kept = 0;
  }
}
