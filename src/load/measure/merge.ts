/**
 * Merges the reports of the workers. Histograms are added bucket by bucket and counters as integers, so
 * that the result is the same as with one worker.
 */

import type { Plan } from '../plan.js';
import { Latency } from './latency.js';
import { type CohortResult, CURVE, type Distribution, type Second } from './result.js';
import { type CohortReport, type Counters, emptyCounters } from './tally.js';
import type { HealthReport, PublishCounters, WorkerReport } from './worker-report.js';

/** A cohort's merged histograms. */
class CohortTotals {
  /** By phase of the plan. `service` too. */
  readonly latency: Latency[];
  readonly service: Latency[];
  readonly joins = new Latency();
  readonly recoveries = new Latency();
  readonly evictions = new Latency();
  readonly backfills = new Latency();

  constructor(phases: number) {
    this.latency = Array.from({ length: phases }, () => new Latency());
    this.service = Array.from({ length: phases }, () => new Latency());
  }

  add(report: CohortReport): void {
    report.latency.forEach((counts, phase) => {
      this.latency[phase]!.add(counts);
    });
    report.service.forEach((counts, phase) => {
      this.service[phase]!.add(counts);
    });
    this.joins.add(report.joins);
    this.recoveries.add(report.recoveries);
    this.evictions.add(report.evictions);
    this.backfills.add(report.backfills);
  }
}

/** One second of the run, until every worker has reported it. */
interface OpenSecond {
  waiting: number;
  latency: Latency[];
  utilization: number;
  loopDelayP99: number;
  loopDelayMax: number;
  cpuWait: number | null;
}

export class Merge {
  readonly #plan: Plan;
  readonly #totals: CohortTotals[];
  readonly #lateness = new Latency();
  /** By worker: its latest report. */
  readonly #latest: WorkerReport[] = [];
  readonly #open = new Map<number, OpenSecond>();
  readonly #onSecond: (second: Second) => void;
  readonly seconds: Second[] = [];
  #sentBefore = 0;
  #announcedBefore: number[];

  /** @param onSecond called for each second once all workers have reported it */
  constructor(plan: Plan, onSecond: (second: Second) => void) {
    this.#plan = plan;
    this.#onSecond = onSecond;
    this.#totals = plan.cohorts.map(() => new CohortTotals(plan.phases.length));
    this.#announcedBefore = plan.cohorts.map(() => 0);
  }

  add(worker: number, report: WorkerReport): void {
    this.#latest[worker] = report;
    report.cohorts.forEach((cohort, i) => {
      this.#totals[i]!.add(cohort);
    });
    this.#lateness.add(report.health.lateness);
    if (report.second >= 0) this.#addSecond(report);
  }

  /** Current counters of a cohort, summed over all workers. */
  counters(cohort: number): Counters {
    const each = this.#latest.filter(Boolean).map((report) => report.cohorts[cohort]!.counters);
    const none: unknown = emptyCounters(this.#plan.phases.length);
    return each.reduce((sum, counters) => addUp(sum, counters), none) as Counters;
  }

  publishing(): PublishCounters {
    const each = this.#latest.filter(Boolean).map((report) => report.publishing);
    const none: unknown = {
      ...{ sent: 0, last: 0, blocked: 0, stuck: 0 },
      ...{ closes: {}, failures: {}, refused: {} },
    };
    return each.reduce((sum, counters) => addUp(sum, counters), none) as PublishCounters;
  }

  lateness(): Distribution {
    return distribution([this.#lateness]);
  }

  /**
   * Results by cohort; the turns of a phase are merged.
   * @param lengths actual lengths of the plan's phases, in seconds
   */
  cohorts(lengths: readonly number[]): CohortResult[] {
    return this.#plan.cohorts.map(({ name, kind, members }, i) => {
      const totals = this.#totals[i]!;
      const phases: CohortResult['phases'] = {};
      for (const phase of new Set(this.#plan.phases.map((each) => each.name))) {
        const turns = this.#plan.phases.flatMap((each, p) => (each.name === phase ? [p] : []));
        const length = turns.reduce((sum, p) => sum + (lengths[p] ?? 0), 0);
        if (length <= 0) continue;
        const latency = distribution(turns.map((p) => totals.latency[p]!));
        const service = distribution(turns.map((p) => totals.service[p]!));
        phases[phase] = { latency, service, perSecond: latency.count / length };
      }
      return {
        name,
        kind,
        members,
        phases,
        joins: distribution([totals.joins]),
        recoveries: distribution([totals.recoveries]),
        evictions: distribution([totals.evictions]),
        backfills: distribution([totals.backfills]),
        counters: this.counters(i),
      };
    });
  }

  /** Messages due in a phase of the plan that any member received. */
  delivered(phase: number): number {
    return this.#totals.reduce((sum, { latency }) => sum + latency[phase]!.count, 0);
  }

  /** p99 of the healthy cohort by phase of the plan, in µs; null if it received nothing. */
  healthyP99(): (number | null)[] {
    return this.#totals[0]!.latency.map((latency) => latency.at([99])[0] ?? null);
  }

  #addSecond(report: WorkerReport): void {
    const { second, health } = report;
    let open = this.#open.get(second);
    if (!open) {
      const latency = this.#plan.cohorts.map(() => new Latency());
      open = {
        waiting: this.#plan.workers,
        latency,
        utilization: 0,
        loopDelayP99: 0,
        loopDelayMax: 0,
        cpuWait: null,
      };
      this.#open.set(second, open);
    }
    for (const [i, cohort] of report.cohorts.entries()) {
      for (const counts of cohort.latency) open.latency[i]!.add(counts);
    }
    worst(open, health);
    if (--open.waiting > 0) return;
    // A worker that was blocked for a second skips it, so older seconds will not be completed: close them.
    for (const [older, rest] of [...this.#open].sort(([a], [b]) => a - b)) {
      if (older > second) break;
      this.#open.delete(older);
      this.#close(older, rest);
    }
  }

  #close(second: number, open: OpenSecond): void {
    const { sent } = this.publishing();
    const cohorts = open.latency.map((latency, i) => {
      const [p50, p99] = latency.at([50, 99]);
      const { announced, present } = this.counters(i);
      const row = { delivered: latency.count, announced: announced - this.#announcedBefore[i]! };
      this.#announcedBefore[i] = announced;
      return { ...row, present, p50: p50 ?? null, p99: p99 ?? null };
    });
    const row: Second = {
      at: second + 1,
      phase: phaseOfSecond(this.#plan, second),
      sent: sent - this.#sentBefore,
      utilization: open.utilization,
      loopDelayP99: open.loopDelayP99,
      loopDelayMax: open.loopDelayMax,
      cpuWait: open.cpuWait,
      cohorts,
    };
    this.#sentBefore = sent;
    this.seconds.push(row);
    this.#onSecond(row);
  }
}

/** The sum of `parts` as a distribution. */
function distribution(parts: readonly Latency[]): Distribution {
  const whole = new Latency();
  for (const part of parts) whole.addAll(part);
  const quantiles = whole.quantiles();
  return {
    ...quantiles,
    curve: whole.at(CURVE),
    hdr: quantiles.count === 0 ? null : whole.encode(),
  };
}

function worst(open: OpenSecond, health: HealthReport): void {
  open.utilization = Math.max(open.utilization, health.utilization);
  open.loopDelayP99 = Math.max(open.loopDelayP99, health.loopDelayP99);
  open.loopDelayMax = Math.max(open.loopDelayMax, health.loopDelayMax);
  if (health.cpuWait !== null) open.cpuWait = Math.max(open.cpuWait ?? 0, health.cpuWait);
}

/** The phase that contains the middle of a second. */
function phaseOfSecond(plan: Plan, second: number): Second['phase'] {
  let end = 0;
  for (const { name, ms } of plan.phases) {
    end += ms;
    if (second * 1000 + 500 < end) return name;
  }
  return plan.phases.at(-1)!.name;
}

/** Adds counters of the same shape: numbers, counts by name, lists by phase (of `silence`, the worst). */
function addUp(sum: unknown, more: unknown, key = ''): unknown {
  if (sum === undefined) return structuredClone(more);
  if (typeof sum === 'number') return sum + (more as number);
  if (Array.isArray(sum)) {
    return sum.map((value: number, i) => {
      const other = (more as number[])[i]!;
      return key === 'silence' ? Math.max(value, other) : value + other;
    });
  }
  const total = { ...(sum as Record<string, unknown>) };
  for (const [name, value] of Object.entries(more as Record<string, unknown>)) {
    total[name] = addUp(total[name], value, name);
  }
  return total;
}
