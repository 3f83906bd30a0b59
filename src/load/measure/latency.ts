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

export class Latency {
  readonly #hdr = new Float64Histogram(1, MAX, 3);

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
    const hdr = this.#hdr;
    const counts: SparseCounts = [];
    if (hdr.totalCount === 0) return counts;
    const top = hdr.countsArrayIndex(hdr.maxValue);
    for (let i = 0; i <= top; i++) {
      const count = hdr.getCountAtIndex(i);
      if (count !== 0) counts.push(hdr.valueFromIndex(i), count);
    }
    hdr.reset();
    return counts;
  }

  /** The value at each of `percentiles` (0–100), in µs; null when empty. */
  at(percentiles: readonly number[]): (number | null)[] {
    const hdr = this.#hdr;
    return percentiles.map((p) => (hdr.totalCount === 0 ? null : hdr.getValueAtPercentile(p)));
  }

  quantiles(): Quantiles {
    const [p50, p90, p99, p999, p9999, max] = this.at([50, 90, 99, 99.9, 99.99, 100]);
    const mean = this.count === 0 ? null : Math.round(this.#hdr.mean);
    return {
      count: this.count,
      mean,
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
}
