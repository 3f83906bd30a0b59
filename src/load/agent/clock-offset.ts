/**
 * By how much the clock of another machine differs from ours, measured as NTP does: we ask for its
 * time, and take the exchange that came back soonest, since its answer was given in the middle give
 * or take half of that time. Pure.
 */

/** One exchange: asked at `sent`, answered at `there` on the other clock, heard at `received`; µs. */
export interface Exchange {
  readonly sent: number;
  readonly there: number;
  readonly received: number;
}

/** What to add to our clock to get the other one, and at most how far that is from the truth; µs. */
export interface Offset {
  readonly offset: number;
  readonly error: number;
}

/** @param exchanges one or more */
export function offsetOf(exchanges: readonly Exchange[]): Offset {
  const offsets = exchanges.map(({ sent, there, received }) => ({
    offset: there - (sent + received) / 2,
    error: (received - sent) / 2,
  }));
  return offsets.reduce((best, each) => (each.error < best.error ? each : best));
}

/**
 * How wrong `used` has been at most between two measurements: it was measured at the first, and the
 * clocks have drifted since.
 */
export function errorBetween(used: Offset, after: Offset): number {
  return Math.max(used.error, Math.abs(after.offset - used.offset) + after.error);
}
