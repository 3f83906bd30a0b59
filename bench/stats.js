/** @param {readonly number[]} values at least one @returns {number} */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const low = /** @type {number} */ (sorted[Math.ceil(middle) - 1]);
  const high = /** @type {number} */ (sorted[Math.floor(middle)]);
  return (low + high) / 2;
}

/** @param {number} value @returns {string} with three significant digits */
export function digits(value) {
  if (!Number.isFinite(value)) return '–';
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en');
  return value === 0 ? '0' : String(Number(value.toPrecision(3)));
}
