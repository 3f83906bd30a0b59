/**
 * A worker's report on itself: the shapes that merge.ts adds up. Plain data that is sent between
 * processes. Not here: the experience of a cohort (tally.ts).
 */
import type { SparseCounts } from './latency.js';
import type { CohortReport } from './tally.js';

/** What a worker did and observed since the run began (counters) or since its last report (the rest). */
export interface WorkerReport {
  /** The second of the phases that it covers, from 0; -1 before they began and while draining. */
  second: number;
  cohorts: CohortReport[];
  publishing: PublishCounters;
  health: HealthReport;
}

/** The worker's health since its last report. */
export interface HealthReport {
  /** Event loop utilization, 0–1. */
  utilization: number;
  /** How late the event loop's timers were, in µs: 99th percentile and worst. */
  loopDelayP99: number;
  loopDelayMax: number;
  /** CPU time used, in ms. */
  cpuMs: number;
  /** Share of the time in which it was ready to run and got no CPU, 0–1; null if unknown. */
  cpuWait: number | null;
  elapsedMs: number;
  /** How late messages were written. */
  lateness: SparseCounts;
}

/** Counters of all publishers of a worker, in total. */
export interface PublishCounters {
  sent: number;
  /** Of those, last messages: sent after the phases, in no distribution. */
  last: number;
  /** Due but not sent, because the connection had ended or its backlog was full. */
  blocked: number;
  /** Times a closed loop gave up on messages in flight. */
  stuck: number;
  /** Connections of publishers that the server ended, by reason. */
  closes: Record<string, number>;
  /** Connections of publishers that were never ready to publish, by reason. */
  failures: Record<string, number>;
  refused: Record<string, number>;
}
