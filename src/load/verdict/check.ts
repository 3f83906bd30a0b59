/**
 * What a check is, and the words that checks share. Not here: the checks (deliveries.ts, healthy.ts,
 * server.ts) and what follows from them (verdict.ts).
 */

import type { Cohort } from '../cohort.js';
import type { CohortResult, RunResult } from '../measure/result.js';
import type { Plan } from '../plan.js';
import { formatCount } from '../units.js';

export interface Check {
  readonly name: string;
  /**
   * `void`: the generator or the machine may have caused what was seen, or nothing was tested.
   * `unknown`: it should have been seen and was not. `skipped`: switched off, or there is nothing to
   * judge by.
   */
  readonly status: 'passed' | 'failed' | 'void' | 'unknown' | 'skipped';
  /** What was seen, in one sentence. */
  readonly text: string;
}

export interface Judgement extends Omit<Check, 'name'> {
  /** It was counted, and stands however busy the generator was. */
  readonly stands?: true;
  /** It goes by times from one connection to another, which may be two machines apart. */
  readonly between?: boolean;
}
/** Null where the run has nothing to do with it, so that nobody needs to hear of it. */
export type Judge = (result: RunResult, plan: Plan) => Judgement | null;

export const passed = (text: string): Judgement => ({ status: 'passed', text });
export const failed = (text: string): Judgement => ({ status: 'failed', text });
/** What no generator can have caused by being busy: a message that came twice did. */
export const wrong = (text: string): Judgement => ({ status: 'failed', text, stands: true });
export const untested = (text: string): Judgement => ({ status: 'void', text });
export const unknown = (text: string): Judgement => ({ status: 'unknown', text });
export const skipped = (text: string): Judgement => ({ status: 'skipped', text });

/** Reads everything at once: whoever is slow is so by the server's doing. */
export function readsAll(cohort: Cohort): boolean {
  return cohort.kind === 'healthy' && cohort.bandwidth === 0;
}

/** The cohorts whose members read everything at once. */
export function healthyOf({ cohorts }: RunResult, plan: Plan): CohortResult[] {
  return cohorts.filter((_, i) => readsAll(plan.cohorts[i]!));
}

/** The cohorts whose members read everything while they are there, those too that come and go. */
export function readersOf({ cohorts }: RunResult, plan: Plan): CohortResult[] {
  return cohorts.filter((_, i) => readsAll(plan.cohorts[i]!) || comesAndGoes(plan.cohorts[i]!));
}

/** What such a member is slow by is that it leaves and joins, and not how it reads. */
function comesAndGoes({ kind, bandwidth }: Cohort): boolean {
  return (kind === 'vanishing' || kind === 'churning') && bandwidth === 0;
}

/** Publishes that the server refused, by code. Members that publish are healthy: of others it was a leave. */
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

/** Different messages that members received: one that came twice is one. */
export function distinct(cohorts: readonly CohortResult[]): number {
  return sumBy(cohorts, ({ counters }) => counters.received - counters.faults.duplicated);
}

/** How many came once more, in words; nothing where none did. */
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

/** Counts by reason, the most frequent first. */
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
