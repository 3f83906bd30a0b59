/**
 * The result of a run: the data that the verdict reads and that JSON reports contain.
 * Units: latencies in µs, times in seconds since the phases began, sizes in bytes, CPU in cores.
 * Changes to the shape change `REPORT_VERSION` (report/report.ts).
 */
import type { CohortKind } from '../cohort.js';
import type { PhaseName } from '../plan.js';
import type { Quantiles } from './latency.js';
import type { Counters } from './tally.js';
import type { PublishCounters } from './worker-report.js';

/** A distribution: its quantiles, its curve, and the whole of it as an HDR V2 payload. */
export interface Distribution extends Quantiles {
  /** Value at each percentile of `CURVE`. */
  curve: (number | null)[];
  /** Compressed HDR V2 histogram, base64; null when empty. */
  hdr: string | null;
}

/** Percentiles of a distribution's curve: 0 to 90, 90 to 99 and so on to 99.999, in nine steps each. */
export const CURVE: readonly number[] = [0, 1, 2, 3, 4].flatMap((nines) =>
  [10, 9, 8, 7, 6, 5, 4, 3, 2].map((tenths) => 100 - tenths * 10 ** (1 - nines)),
);

export interface CohortPhase {
  /** From the moment a message was due, so that delays of the sender or the server are included. */
  latency: Distribution;
  /** From the moment it was written: the server's part alone; too low when messages are written late. */
  service: Distribution;
  /** Messages due in the phase that were received, per second of the phase. */
  perSecond: number;
}

export interface CohortResult {
  name: string;
  kind: CohortKind;
  members: number;
  phases: Partial<Record<PhaseName, CohortPhase>>;
  /** From connecting, or from the join request, to being in all rooms. */
  joins: Distribution;
  /** From reading again to receiving recent messages. */
  recoveries: Distribution;
  /** From the stop of reading to the disconnect by the server. */
  evictions: Distribution;
  /** From the first request of a gap's range to its last answer. */
  backfills: Distribution;
  counters: Counters;
}

export interface PhaseResult {
  name: PhaseName;
  /** The turn of calm and slow that it belongs to, from 1; 0 outside of turns. */
  turn: number;
  from: number;
  to: number;
  /** Generator: event loop utilization, and loop delays of the worst second, in µs; the worst worker's. */
  utilization: number;
  loopDelayP99: number;
  loopDelayMax: number;
  /** Share of the phase in which the worst worker was ready to run and got no CPU, 0–1; null if unknown. */
  generatorCpuWait: number | null;
  /** Server; null if unknown. Delays and lock holds are those of the worst second. */
  cpuCores: number | null;
  /** Share of the phase in which its main thread was ready to run and got no CPU, 0–1. */
  cpuWait: number | null;
  cpuMicrosPerDelivery: number | null;
  lockHoldP99: number | null;
  loopDelayServerP99: number | null;
  rssGrowthBytes: number | null;
}

/** The server at one moment; null if unknown. Rates are over the time since the last sample. */
export interface ServerSample {
  /** Seconds since the phases began. */
  at: number;
  /** CPU used since the server started, in seconds, and since the last sample, in cores. */
  cpuSeconds: number | null;
  cpuCores: number | null;
  /** Time since the start in which its main thread was ready to run and got no CPU, in seconds. */
  cpuWaitSeconds: number | null;
  rssBytes: number | null;
  /** p99 of event loop delay, of lock holds, and of delivery to healthy members; µs. */
  loopDelayP99: number | null;
  lockHoldP99: number | null;
  deliveryP99: number | null;
  queueBytes: number | null;
  queueLimitBytes: number | null;
  members: number | null;
  dropped: number | null;
  evictions: number | null;
}

/** One second of the run. */
export interface Second {
  /** Its end, in seconds since the phases began. */
  at: number;
  phase: PhaseName;
  sent: number;
  utilization: number;
  loopDelayP99: number;
  loopDelayMax: number;
  /** As `generatorCpuWait`, of the second. */
  cpuWait: number | null;
  /** By cohort, in the plan's order. */
  cohorts: {
    delivered: number;
    announced: number;
    present: number;
    p50: number | null;
    p99: number | null;
  }[];
}

export interface RunResult {
  /** ISO 8601. */
  startedAt: string;
  /** Stopped by a signal: phases may be missing or short. */
  interrupted: boolean;
  /** Why a worker or an agent was lost, which ended the run; null if none was. */
  lost: string | null;
  /**
   * Largest error of a time between two agents, in µs; null if the load came from one machine.
   */
  clockError: number | null;
  phases: PhaseResult[];
  cohorts: CohortResult[];
  publishing: PublishCounters & {
    /** Messages due; null for a closed loop. */
    offered: number | null;
    /** Messages that got a sequence number; null unless the last one of every publisher was confirmed. */
    accepted: number | null;
    /** Confirmations that the last messages requested, and how many arrived; null if there are none. */
    confirmations: { asked: number; got: number } | null;
    lateness: Distribution;
  };
  timeline: Second[];
  server: {
    /** Before members connected, and after all had disconnected; null if unknown. */
    before: ServerSample | null;
    after: ServerSample | null;
    samples: ServerSample[];
    /** Why the server's own metrics are missing, or null. */
    missing: string | null;
  };
  /** Healthy p99 in `slow` over healthy p99 in `calm`; null without both. */
  isolation: Isolation | null;
}

/** The effect of slow members on healthy ones, from the turns of calm and slow phases. */
export interface Isolation {
  /** Slow over calm: the geometric mean of the turns' ratios. */
  ratio: number;
  /** 90 % confidence interval of the ratio (1 in 20 lies below it by chance); null with a single turn. */
  interval: [low: number, high: number] | null;
  /** Healthy p99 of each turn's phases, in µs. */
  turns: { calm: number; slow: number }[];
}
