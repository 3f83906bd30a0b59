/**
 * Latency counts in the buckets of HDR histograms (three significant digits, 1 µs to 35 min).
 * Counting is ours because it happens per delivery: about 12 ns here, 130 ns in
 * hdr-histogram-js; quantiles and the HDR payload come from that library. Merging adds integers,
 * so results of several workers are exact.
 */
import { build, encodeIntoCompressedBase64, type Histogram } from 'hdr-histogram-js';

const SUB_BUCKETS = 2048;
const HALF = SUB_BUCKETS / 2;
const MAX = 2 ** 31 - 1;
const BUCKETS = indexOf(MAX) + 1;

/** Alternating bucket index and count of the buckets that are not empty. */
export type SparseCounts = number[];

function indexOf(value: number): number {
  const bucket = 21 - Math.clz32(value | (SUB_BUCKETS - 1));
  return ((bucket + 1) << 10) + (value >>> bucket) - HALF;
}

/** The lowest value counted in a bucket. */
function lowestOf(index: number): number {
  const bucket = Math.max(0, (index >> 10) - 1);
  const sub = index - (bucket << 10);
  return sub * 2 ** bucket;
}

/** Quantiles in µs, as they are printed and written into reports; all null when empty. */
export interface Quantiles {
  count: number;
  mean: number | null;
  p50: number | null;
  p90: number | null;
  p99: number | null;
  p999: number | null;
  p9999: number | null;
  max: number | null;
}

export class Latency {
  readonly #counts = new Uint32Array(BUCKETS);
  /** The highest bucket that may not be empty. */
  #top = 0;

  /** Counts one value in µs; below 0 counts as 0, above 35 min as 35 min. */
  record(us: number): void {
    const value = us < 0 ? 0 : us > MAX ? MAX : us | 0;
    const bucket = 21 - Math.clz32(value | (SUB_BUCKETS - 1));
    const index = ((bucket + 1) << 10) + (value >>> bucket) - HALF;
    this.#counts[index]!++;
    if (index > this.#top) this.#top = index;
  }

  add(counts: SparseCounts): void {
    for (let i = 0; i < counts.length; i += 2) this.#counts[counts[i]!]! += counts[i + 1]!;
    this.#top = Math.max(this.#top, counts.at(-2) ?? 0);
  }

  /** What was counted since `seen` was last brought up to date by this call. */
  since(seen: Latency): SparseCounts {
    const delta: SparseCounts = [];
    const now = this.#counts;
    const before = seen.#counts;
    for (let i = 0; i <= this.#top; i++) {
      const more = now[i]! - before[i]!;
      if (more !== 0) {
        delta.push(i, more);
        before[i] = now[i]!;
      }
    }
    return delta;
  }

  quantiles(): Quantiles {
    return quantilesOf(this.#hdr());
  }

  /** How many values were counted, and the value of each share of them; cheap, for every second. */
  glance(...shares: readonly number[]): { count: number; values: (number | null)[] } {
    let count = 0;
    for (let i = 0; i <= this.#top; i++) count += this.#counts[i]!;
    const values = shares.map((share) => {
      let left = Math.ceil(share * count);
      let i = 0;
      while (left > 0) left -= this.#counts[i++]!;
      // The highest value of the bucket, as HDR histograms have it.
      return count === 0 ? null : lowestOf(i) - 1;
    });
    return { count, values };
  }

  /** HDR V2 payload, compressed, base64: readable by every HdrHistogram library. */
  encode(): string {
    return encodeIntoCompressedBase64(this.#hdr());
  }

  /** The value at each of `percentiles` (0–100), in µs. */
  at(percentiles: readonly number[]): (number | null)[] {
    const hdr = this.#hdr();
    return percentiles.map((p) => (hdr.totalCount === 0 ? null : hdr.getValueAtPercentile(p)));
  }

  #hdr(): Histogram {
    const hdr = build({
      bitBucketSize: 64,
      numberOfSignificantValueDigits: 3,
      highestTrackableValue: MAX,
    });
    for (let i = 0; i <= this.#top; i++) {
      const count = this.#counts[i]!;
      if (count !== 0) hdr.recordValueWithCount(lowestOf(i), count);
    }
    return hdr;
  }
}

function quantilesOf(hdr: Histogram): Quantiles {
  const at = (p: number): number | null =>
    hdr.totalCount === 0 ? null : hdr.getValueAtPercentile(p);
  return {
    count: hdr.totalCount,
    mean: hdr.totalCount === 0 ? null : Math.round(hdr.mean),
    p50: at(50),
    p90: at(90),
    p99: at(99),
    p999: at(99.9),
    p9999: at(99.99),
    max: hdr.totalCount === 0 ? null : hdr.maxValue,
  };
}
