/** Quantiles of histograms, computed as Prometheus does, so that the page and the dashboard agree. */

/**
 * The value that the fraction `q` of all observations does not exceed; null without observations.
 * Interpolates linearly within a bucket. For the +Inf bucket, returns the last finite bound.
 *
 * @param bounds upper bounds of the buckets, ascending, the last +Inf
 * @param counts observations in each bucket, not cumulative
 */
export function quantile(
  q: number,
  bounds: ArrayLike<number>,
  counts: ArrayLike<number>,
): number | null {
  let total = 0;
  for (let i = 0; i < counts.length; i += 1) total += counts[i]!;
  if (total === 0) return null;
  const rank = q * total;
  let below = 0;
  for (let i = 0; i < counts.length; i += 1) {
    const here = counts[i]!;
    const upper = bounds[i]!;
    const lower = i === 0 ? 0 : bounds[i - 1]!;
    if (below + here >= rank && here > 0) {
      return Number.isFinite(upper) ? lower + ((upper - lower) * (rank - below)) / here : lower;
    }
    below += here;
  }
  return null;
}

/** The observations of a histogram since the previous call. */
export class Window {
  #before: Float64Array;

  constructor(buckets: number) {
    this.#before = new Float64Array(buckets);
  }

  /** @param counts cumulative count of each bucket */
  since(counts: ArrayLike<number>): Float64Array {
    const now = Float64Array.from(counts);
    const grown = now.map((count, i) => count - this.#before[i]!);
    this.#before = now;
    return grown;
  }
}
