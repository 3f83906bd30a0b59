/**
 * The key figures of a run and their spread over repeated runs; `--compare` uses them.
 * Not here: the meaning of each figure (threshold.ts owns their names).
 */

import type { RunResult } from '../measure/result.js';
import type { Plan } from '../plan.js';
import { parseThreshold, type Threshold } from '../verdict/threshold.js';

/** A figure over the runs of a report. Units as in results: µs, bytes or a plain number. */
interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** By figure, such as `healthy.p99@slow`. */
export type Figures = Record<string, Spread>;

/** Figures by `<name>@<phase>`, in the order they are shown. */
const KEY_FIGURES = [
  'healthy.p50@calm',
  'healthy.p99@calm',
  'healthy.p99.9@calm',
  'healthy.rate@calm',
  'healthy.p50@slow',
  'healthy.p99@slow',
  'healthy.p99.9@slow',
  'healthy.rate@slow',
  'isolation',
  'server.cpuPerDelivery@calm',
  'server.cpuPerDelivery@slow',
  'server.rss',
];

/** True for rates; of all other figures less is better. */
export function moreIsBetter(figure: string): boolean {
  return figure.includes('.rate');
}

/** The figures that every run has. */
export function keyFigures(runs: readonly RunResult[], plan: Plan): Figures {
  const figures: Figures = {};
  for (const name of KEY_FIGURES) {
    const figure = figureOf(name, plan);
    const values = figure ? runs.map((run) => figure.value(run)).filter((v) => v !== null) : [];
    if (values.length > 0 && values.length === runs.length) figures[name] = spreadOf(values);
  }
  return figures;
}

/** Formats a figure for people; as a plain number if the plan does not have it. */
export function formatFigure(name: string, value: number, plan: Plan): string {
  return figureOf(name, plan)?.format(value) ?? String(value);
}

function figureOf(name: string, plan: Plan): Threshold | undefined {
  const phase = name.split('@')[1];
  if (phase !== undefined && !plan.phases.some((each) => each.name === phase)) return;
  return parseThreshold(`${name}>0`, plan);
}

function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  return {
    median:
      (sorted[Math.floor((sorted.length - 1) / 2)]! + sorted[Math.floor(sorted.length / 2)]!) / 2,
    min: sorted[0]!,
    max: sorted.at(-1)!,
  };
}
