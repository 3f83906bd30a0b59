/**
 * What a worker tells the coordinator about itself: the shapes that merge.ts adds up. Plain data, as
 * it travels between processes. Not here: what a cohort experienced (tally.ts).
 */
import type { SparseCounts } from './latency.js';
import type { CohortReport } from './tally.js';

/** What a worker has done and seen since the run began, or since its last report. */
export interface WorkerReport {
  /** The second of the phases that it covers, from 0; -1 before they began and while draining. */
  second: number;
  cohorts: CohortReport[];
  publishing: PublishCounters;
  /** How late publishes were, since the last report. */
  health: HealthReport;
}

/** The worker's own health since its last report. */
export interface HealthReport {
  /** Share of the time that the event loop was busy, 0–1. */
  utilization: number;
  /** How late the event loop's timers were, in µs: 99th percentile and worst. */
  loopDelayP99: number;
  loopDelayMax: number;
  /** CPU time taken, in ms. */
  cpuMs: number;
  elapsedMs: number;
  /** How late messages were written. */
  lateness: SparseCounts;
}

/** Counters of all publishers of a worker, as they stand. */
export interface PublishCounters {
  sent: number;
  /** Of those, last messages: sent when the phases were over, in no distribution. */
  last: number;
  /** Due but not sent, because the connection was gone or took no more. */
  blocked: number;
  /** Times a closed loop gave up on messages in flight. */
  stuck: number;
  /** Connections of publishers that the server ended, by reason. */
  closes: Record<string, number>;
  /** Connections of publishers that never came to publish, by reason. */
  failures: Record<string, number>;
  refused: Record<string, number>;
}
