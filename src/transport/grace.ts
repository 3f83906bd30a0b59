/**
 * How long a peer that was told of its end may take to read that: as long as it gets on, up to a
 * limit (V13). Shared by the transports.
 */
import type { LoopClock } from '../loop-clock.js';

export interface Grace {
  /** Without any progress, in milliseconds. */
  readonly graceMs: number;
  /** In all. */
  readonly limitMs: number;
  /** When the peer was last seen to take bytes. */
  progressAt(): number;
  /** The grace is over. */
  over(): void;
}

/** Looks are this many in one grace. */
const LOOKS = 4;

/** Begins now. Returns what ends it early. */
export function graceOf(
  clock: LoopClock,
  { graceMs, limitMs, progressAt, over }: Grace,
): () => void {
  const startedAt = clock.now();
  let cancel = () => {};
  const look = () => {
    const now = clock.now();
    const silentMs = now - Math.max(startedAt, progressAt());
    const left = Math.min(graceMs - silentMs, startedAt + limitMs - now);
    if (left <= 0) over();
    else cancel = clock.after(Math.min(left, graceMs / LOOKS), look);
  };
  look();
  return () => cancel();
}
