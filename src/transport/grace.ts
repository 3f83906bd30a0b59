/**
 * How long a peer that is being closed may take to read what is left: as long as it makes progress, up
 * to a limit (V13). Shared by the transports.
 */
import type { LoopClock } from '../loop-clock.js';

export interface Grace {
  /** Maximum milliseconds without progress. */
  readonly graceMs: number;
  /** Maximum milliseconds in all. */
  readonly limitMs: number;
  /** When the peer was last seen to take bytes, in loop clock milliseconds. */
  progressAt(): number;
  /** Called when the grace is over. */
  over(): void;
}

/** Looks per `graceMs`. */
const LOOKS = 4;

/** Starts now. Returns a function that cancels it. */
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
