/**
 * Measures short operations: nanoseconds per operation, as median and quartiles over rounds. The cases
 * take turns, so that other load on the machine affects all alike. A round is short (about 2 ms), so that
 * on a shared machine most of them run undisturbed. The first rounds only warm up.
 *
 * @typedef {object} Case
 * @property {string} name
 * @property {number} n operations per round
 * @property {(n: number) => unknown} run runs `n` operations; a number that it returns, or that its
 *   promise resolves with, replaces the measured milliseconds
 */

const WARM_UP = 30;

/** Sums up results, so that they are not optimized away. */
export const sink = { sum: 0 };

/** @param {Case[]} cases @param {number} rounds */
export async function measure(cases, rounds) {
  /** @type {number[][]} */
  const results = cases.map(() => []);
  for (let round = 0; round < rounds + WARM_UP; round += 1) {
    for (const [i, { n, run }] of cases.entries()) {
      const from = performance.now();
      const returned = run(n);
      const ownTimeMs = returned instanceof Promise ? await returned : returned;
      const ms = typeof ownTimeMs === 'number' ? ownTimeMs : performance.now() - from;
      if (round >= WARM_UP) results[i]?.push((ms * 1e6) / n);
    }
  }
  for (const [i, { name }] of cases.entries()) {
    const sorted = (results[i] ?? []).sort((a, b) => a - b);
    const at = (/** @type {number} */ share) =>
      Math.round(sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN);
    const quartiles = `${at(0.25)} to ${at(0.75)}`;
    process.stdout.write(
      `  ${name.padEnd(48)} ${String(at(0.5)).padStart(6)} ns  (${quartiles}, least ${at(0)})\n`,
    );
  }
  if (sink.sum === 0) throw new Error('nothing was measured');
}
