/**
 * The isolation ratio: how much slow members raise the latency of healthy ones. Calm and slow phases
 * alternate in turns: each turn gives a ratio of two moments close together, and the spread of the turns
 * shows how much the ratio varies without a cause. Not here: the limit of the ratio (verdict/).
 */
import type { Isolation } from './result.js';

/** Student's t for a two-sided 90 % interval, by degrees of freedom from 1. */
const T90 = [6.314, 2.92, 2.353, 2.132, 2.015, 1.943, 1.895, 1.86, 1.833];

/** @param turns healthy p99 of the two phases of each turn, in µs. Returns null without turns. */
export function isolationOf(turns: Isolation['turns']): Isolation | null {
  if (turns.length === 0) return null;
  // Ratios multiply, so average their logarithms: 2 and 1/2 are equally far from 1.
  const logs = turns.map(({ calm, slow }) => Math.log(Math.max(1, slow) / Math.max(1, calm)));
  const mean = logs.reduce((sum, log) => sum + log, 0) / logs.length;
  const freedom = logs.length - 1;
  const t = T90[freedom - 1];
  if (t === undefined) return { ratio: Math.exp(mean), interval: null, turns };
  const variance = logs.reduce((sum, log) => sum + (log - mean) ** 2, 0) / freedom;
  const margin = t * Math.sqrt(variance / logs.length);
  return {
    ratio: Math.exp(mean),
    interval: [Math.exp(mean - margin), Math.exp(mean + margin)],
    turns,
  };
}
