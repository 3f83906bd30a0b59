/**
 * Buffers what this process has read and not decoded yet. Reading has priority: bytes get their arrival
 * time when they are read and are kept until nothing is left to read, so that decoding earlier messages
 * makes no later message look late. A message's time lies between its arrival in the kernel and its
 * decoding; it is never too early, and it includes the wait in the kernel while other sockets were read.
 * Not here: sockets (socket.ts).
 */

export interface Receiver {
  /** `buf[start, end)` was read at `now`; valid during the call only. */
  receive(buf: Buffer, start: number, end: number, now: number): void;
}

/** Limits of the buffer, in bytes and in reads; when full, everything is decoded before more is read. */
const KEPT_BYTES = 256 * 1024;
const KEPT_READS = 2048;
/** Larger reads are not copied but decoded at once. */
const COPIED = 4096;
/** Reads that are decoded before the event loop checks again for more to read. */
const DELIVERED_AT_ONCE = 64;

const bytes = Buffer.allocUnsafeSlow(KEPT_BYTES);
const receivers = new Array<Receiver | undefined>(KEPT_READS);
const times = new Float64Array(KEPT_READS);
/** Start of each read in `bytes`; it ends where the next one starts. */
const starts = new Int32Array(KEPT_READS + 1);
let next = 0;
let kept = 0;
/** True if something was read since the last turn. */
let hasRead = false;
let isWaiting = false;

/** Keeps a copy of `buf[0, length)`, which was read at `now`. */
export function arrived(receiver: Receiver, buf: Buffer, length: number, now: number): void {
  if (length > COPIED) {
    deliverAll();
    receiver.receive(buf, 0, length, now);
    return;
  }
  if (kept === KEPT_READS || starts[kept]! + length > KEPT_BYTES) deliverAll();
  buf.copy(bytes, starts[kept]!, 0, length);
  receivers[kept] = receiver;
  times[kept] = now;
  starts[kept + 1] = starts[kept]! + length;
  kept++;
  hasRead = true;
  if (isWaiting) return;
  isWaiting = true;
  setImmediate(turn);
}

/** Decodes everything that is kept. */
export function deliverAll(): void {
  deliver(kept);
}

/** Runs once per turn of the event loop, after its reads; decodes only if nothing was read. */
function turn(): void {
  if (!hasRead) deliver(Math.min(kept, next + DELIVERED_AT_ONCE));
  hasRead = false;
  isWaiting = kept > 0;
  if (isWaiting) setImmediate(turn);
}

function deliver(until: number): void {
  while (next < Math.min(until, kept)) {
    const at = next++;
    const receiver = receivers[at]!;
    receivers[at] = undefined;
    receiver.receive(bytes, starts[at]!, starts[at + 1]!, times[at]!);
  }
  if (next === kept) {
    next = 0;
    kept = 0;
  }
}
