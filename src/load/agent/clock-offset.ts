/**
 * Measures the offset of another machine's clock to ours, as NTP does: we ask for its time and use the
 * exchange with the shortest round trip. The answer was made in the middle of it, give or take half of
 * that time. Pure.
 */

/** One exchange: sent at `sent`, answered at `there` on the other clock, received at `received`; µs. */
export interface Exchange {
  readonly sent: number;
  readonly there: number;
  readonly received: number;
}

/** Added to our clock to get the other one, and the largest possible error of that; µs. */
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
 * The largest error of `used` between two measurements: it was measured at the first one, and the
 * clocks have drifted since.
 */
export function errorBetween(used: Offset, after: Offset): number {
  return Math.max(used.error, Math.abs(after.offset - used.offset) + after.error);
}
