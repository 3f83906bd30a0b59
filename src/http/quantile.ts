/** Quantiles of histograms, the way Prometheus has them, so that page and dashboard agree. */

/**
 * The value that the share `q` of all observations does not exceed, or null without observations.
 *
 * @param bounds upper bounds of the buckets, ascending, the last +Inf
 * @param counts observations in each bucket, not cumulative
 * @returns between the bounds of its bucket as if the observations were spread evenly in it; for
 *   one above the last finite bound, that bound
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

/** What a histogram has gathered since it was last asked. */
export class Window {
  #before: Float64Array;

  constructor(buckets: number) {
    this.#before = new Float64Array(buckets);
  }

  /** @param counts of each bucket since the start; they only grow. */
  since(counts: ArrayLike<number>): Float64Array {
    const now = Float64Array.from(counts);
    const grown = now.map((count, i) => count - this.#before[i]!);
    this.#before = now;
    return grown;
  }
}
