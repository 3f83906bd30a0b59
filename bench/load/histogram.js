/**
 * Latencies in buckets of 1/32 of their power of two: a quantile is at most 3 % off, and recording
 * one costs a few nanoseconds, so that measuring does not become what is measured.
 */
const SUB = 32;

export class Histogram {
  #counts = new Float64Array(SUB * 40);
  total = 0;
  max = 0;

  /** @param {number} us microseconds */
  record(us) {
    const value = us < 1 ? 1 : us | 0;
    const exponent = 31 - Math.clz32(value);
    const bucket = exponent < 5 ? value : SUB * (exponent - 5) + (value >> (exponent - 5));
    this.#counts[bucket] = /** @type {number} */ (this.#counts[bucket]) + 1;
    this.total++;
    if (us > this.max) this.max = us;
  }

  /**
   * @param {number} q between 0 and 1
   * @returns {number} microseconds: the lower edge of the bucket that holds the quantile
   */
  quantile(q) {
    const rank = q * this.total;
    let seen = 0;
    for (let i = 0; i < this.#counts.length; i++) {
      seen += /** @type {number} */ (this.#counts[i]);
      if (seen >= rank && seen > 0) {
        if (i < SUB) return i;
        const exponent = Math.floor(i / SUB) + 4;
        return (SUB + (i % SUB)) * 2 ** (exponent - 5);
      }
    }
    return 0;
  }
}
