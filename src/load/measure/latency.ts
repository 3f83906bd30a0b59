/**
 * A latency distribution: an HDR histogram of `hdr-histogram-js` (three significant digits, 1 µs to
 * 35 min), and its serialized form. Adding counts is exact, so that several workers give the same figures
 * as one. Reported values follow HDR histograms: the highest value in the same bucket as the recorded
 * one, for every quantile and the maximum.
 */
import { encodeIntoCompressedBase64, Float64Histogram } from 'hdr-histogram-js';

/** The highest distinct value, in µs. */
const MAX = 2 ** 31 - 1;

/** Alternating value and count of each recorded value. */
export type SparseCounts = number[];

/** Quantiles in µs, as printed and reported; all null when empty. */
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

/** The library's histogram, which finds a bucket by a logarithm and two powers; this one shifts bits. */
class Counts extends Float64Histogram {
  constructor() {
    super(1, MAX, 3);
  }

  override countsArrayIndex(value: number): number {
    // A bucket has 2^10 slots for values of 2^11 and up, distinguished by their first 11 bits.
    const bucket = Math.max(0, 21 - Math.clz32(value));
    return (bucket << 10) + (value >>> bucket);
  }
}

export class Latency {
  readonly #hdr = new Counts();

  get count(): number {
    return this.#hdr.totalCount;
  }

  /** Records one value in µs; below 0 as 0, above 35 min as 35 min. */
  record(us: number): void {
    this.#hdr.recordValue(us < 0 ? 0 : us > MAX ? MAX : us | 0);
  }

  add(counts: SparseCounts): void {
    for (let i = 0; i < counts.length; i += 2) {
      this.#hdr.recordValueWithCount(counts[i]!, counts[i + 1]!);
    }
  }

  addAll(other: Latency): void {
    this.#hdr.add(other.#hdr);
  }

  /** Returns and removes everything recorded since the last call. */
  take(): SparseCounts {
    const counts: SparseCounts = [];
    if (this.count === 0) return counts;
    this.#each((value, count) => counts.push(value, count));
    this.#hdr.reset();
    return counts;
  }

  /** The value at each of rising `percentiles` (0–100), in µs; null when empty. */
  at(percentiles: readonly number[]): (number | null)[] {
    const hdr = this.#hdr;
    const total = hdr.totalCount;
    let seen = 0;
    let index = -1;
    return percentiles.map((percentile) => {
      if (total === 0) return null;
      // Same rank as in the library, which rescans for each percentile and is slow for a whole curve.
      const share = (percentile / 100) * total;
      const wanted = Math.max(1, Math.ceil(share - share * Number.EPSILON));
      while (seen < wanted) seen += hdr.getCountAtIndex(++index);
      return hdr.highestEquivalentValue(hdr.valueFromIndex(index));
    });
  }

  quantiles(): Quantiles {
    const [p50, p90, p99, p999, p9999, max] = this.at([50, 90, 99, 99.9, 99.99, 100]);
    return {
      count: this.count,
      mean: this.count === 0 ? null : Math.round(this.#mean()),
      p50: p50 ?? null,
      p90: p90 ?? null,
      p99: p99 ?? null,
      p999: p999 ?? null,
      p9999: p9999 ?? null,
      max: max ?? null,
    };
  }

  /** Encodes as HDR V2 payload, compressed, base64: every HdrHistogram library can read it. */
  encode(): string {
    return encodeIntoCompressedBase64(this.#hdr);
  }

  #mean(): number {
    let sum = 0;
    this.#each((value, count) => {
      sum += this.#hdr.medianEquivalentValue(value) * count;
    });
    return sum / this.count;
  }

  /** Every recorded value in rising order, with its count. */
  #each(act: (value: number, count: number) => void): void {
    const hdr = this.#hdr;
    const top = hdr.countsArrayIndex(hdr.maxValue);
    for (let i = 0; i <= top; i++) {
      const count = hdr.getCountAtIndex(i);
      if (count !== 0) act(hdr.valueFromIndex(i), count);
    }
  }
}
