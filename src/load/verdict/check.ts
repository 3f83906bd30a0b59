/**
 * The types of checks, and the wording and counts they share. Not here: the checks (deliveries.ts,
 * healthy.ts, server.ts), the verdict (verdict.ts).
 */

import type { Cohort } from '../cohort.js';
import type { CohortResult, RunResult } from '../measure/result.js';
import type { Plan } from '../plan.js';
import { formatCount } from '../units.js';

export interface Check {
  readonly name: string;
  /**
   * `void`: the generator or the machine may have caused what was observed, or nothing was tested.
   * `unknown`: what should have been observed was not. `skipped`: switched off, or not applicable.
   */
  readonly status: 'passed' | 'failed' | 'void' | 'unknown' | 'skipped';
  /** What was observed, in one sentence. */
  readonly text: string;
}

export interface Judgement extends Omit<Check, 'name'> {
  /** True for counted facts, which hold however busy the generator was. */
  readonly stands?: true;
  /** True if it uses times between connections, which may be on two machines with different clocks. */
  readonly between?: boolean;
}
/** Returns null if the check does not concern the run; it is then left out. */
export type Judge = (result: RunResult, plan: Plan) => Judgement | null;

export const passed = (text: string): Judgement => ({ status: 'passed', text });
export const failed = (text: string): Judgement => ({ status: 'failed', text });
/** A failure that a busy generator cannot have caused, such as a duplicate message. */
export const wrong = (text: string): Judgement => ({ status: 'failed', text, stands: true });
export const untested = (text: string): Judgement => ({ status: 'void', text });
export const unknown = (text: string): Judgement => ({ status: 'unknown', text });
export const skipped = (text: string): Judgement => ({ status: 'skipped', text });

/** True if the members read everything at once, so that any delay comes from the server. */
export function readsAll(cohort: Cohort): boolean {
  return cohort.kind === 'healthy' && cohort.bandwidth === 0;
}

/** The cohorts whose members read everything at once. */
export function healthyOf({ cohorts }: RunResult, plan: Plan): CohortResult[] {
  return cohorts.filter((_, i) => readsAll(plan.cohorts[i]!));
}

/** Cohorts whose members read everything while connected, including those that disconnect or leave. */
export function readersOf({ cohorts }: RunResult, plan: Plan): CohortResult[] {
  return cohorts.filter((_, i) => readsAll(plan.cohorts[i]!) || comesAndGoes(plan.cohorts[i]!));
}

/** Members that leave and return; their reading is not slow. */
function comesAndGoes({ kind, bandwidth }: Cohort): boolean {
  return (kind === 'vanishing' || kind === 'churning') && bandwidth === 0;
}

/** Refused publishes, by code. Only healthy members publish; refusals of others concern leaves. */
export function refusals(
  { publishing, cohorts }: RunResult,
  { publishFrom }: Pick<Plan, 'publishFrom'>,
): Record<string, number> {
  const sum: Record<string, number> = { ...publishing.refused };
  if (publishFrom !== 'members') return sum;
  for (const [code, n] of Object.entries(cohorts[0]!.counters.refused)) {
    sum[code] = (sum[code] ?? 0) + n;
  }
  return sum;
}

/** Messages received, without duplicates. */
export function distinct(cohorts: readonly CohortResult[]): number {
  return sumBy(cohorts, ({ counters }) => counters.received - counters.faults.duplicated);
}

/** Number of duplicates, in words; empty if there are none. */
export function repeats(cohorts: readonly CohortResult[]): string {
  const duplicated = sumBy(cohorts, ({ counters }) => counters.faults.duplicated);
  return duplicated === 0 ? '' : ` (and ${formatCount(duplicated)} of them a second time)`;
}

export function sumBy<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((sum, item) => sum + value(item), 0);
}

export function total(counts: Readonly<Record<string, number>>): number {
  return sumBy(Object.values(counts), (n) => n);
}

/** The longest time that the generator was blocked, in µs. */
export function longestBlock({ phases }: RunResult): number {
  return Math.max(...phases.map(({ loopDelayMax }) => loopDelayMax));
}

/** Counts by reason, in falling order. */
export function reasons(counts: Readonly<Record<string, number>>): string {
  const sorted = Object.entries(counts).sort(([, a], [, b]) => b - a);
  return sorted.map(([reason, n]) => `${reason} (${formatCount(n)})`).join(', ');
}

export function times(n: number, one: string, many = `${one}s`): string {
  return `${formatCount(n)} ${n === 1 ? one : many}`;
}

export function percent(part: number, whole: number): string {
  return `${formatCount(whole === 0 ? 0 : (part / whole) * 100)} %`;
}
