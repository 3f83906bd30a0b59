/**
 * A distribution of times: an HDR histogram of `hdr-histogram-js` (three significant digits, 1 µs to
 * 35 min), and the form it travels in. Adding counts up is exact, so several workers give the figures
 * that one would have. Values are those of HDR histograms: the highest value that is
 * indistinguishable from what was recorded, in every quantile and in the maximum alike.
 */
import { encodeIntoCompressedBase64, Float64Histogram } from 'hdr-histogram-js';

/** The highest value that is told apart, in µs. */
const MAX = 2 ** 31 - 1;

/** Value and count in turn, of every value that was recorded. */
export type SparseCounts = number[];

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

/** That of the library, which finds a value's place with a logarithm and two powers, by shifts. */
class Counts extends Float64Histogram {
  constructor() {
    super(1, MAX, 3);
  }

  override countsArrayIndex(value: number): number {
    // A bucket has 2^10 places for values of 2^11 and up, which it tells apart by their first 11 bits.
    const bucket = Math.max(0, 21 - Math.clz32(value));
    return (bucket << 10) + (value >>> bucket);
  }
}

export class Latency {
  readonly #hdr = new Counts();

  get count(): number {
    return this.#hdr.totalCount;
  }

  /** Counts one value in µs; below 0 counts as 0, above 35 min as 35 min. */
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

  /** Everything that was recorded since this was last called, which is forgotten here. */
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
      // As the library asks for it, which starts anew for each: that takes long for a whole curve.
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

  /** HDR V2 payload, compressed, base64: readable by every HdrHistogram library. */
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

  /** Every value that was recorded, rising, with how often. */
  #each(act: (value: number, count: number) => void): void {
    const hdr = this.#hdr;
    const top = hdr.countsArrayIndex(hdr.maxValue);
    for (let i = 0; i <= top; i++) {
      const count = hdr.getCountAtIndex(i);
      if (count !== 0) act(hdr.valueFromIndex(i), count);
    }
  }
}
