/**
 * The generator's own health: how busy its event loop was, how late it woke, what CPU it took and
 * how late it published. A figure measured by a saturated generator is the generator's.
 * Not here: where saturation begins (verdict.ts).
 */
import { type EventLoopUtilization, monitorEventLoopDelay } from 'node:perf_hooks';
import { Latency, type SparseCounts } from './latency.js';

/** Since the last report. */
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

const RESOLUTION_MS = 10;

export class GeneratorHealth {
  readonly #delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  readonly #lateness: Latency;
  readonly #reported = new Latency();
  #utilization: EventLoopUtilization = performance.eventLoopUtilization();
  #cpu = process.cpuUsage();
  #at = performance.now();

  constructor(lateness: Latency) {
    this.#lateness = lateness;
    this.#delay.enable();
  }

  /** Forgets what was before. */
  reset(): void {
    this.take();
  }

  take(): HealthReport {
    const utilization = performance.eventLoopUtilization();
    const cpu = process.cpuUsage(this.#cpu);
    const at = performance.now();
    const late = (ns: number): number => Math.max(0, ns / 1000 - RESOLUTION_MS * 1000);
    const report: HealthReport = {
      utilization: performance.eventLoopUtilization(utilization, this.#utilization).utilization,
      loopDelayP99: late(this.#delay.percentile(99)),
      loopDelayMax: late(this.#delay.max),
      cpuMs: (cpu.user + cpu.system) / 1000,
      elapsedMs: at - this.#at,
      lateness: this.#lateness.since(this.#reported),
    };
    this.#utilization = utilization;
    this.#cpu = process.cpuUsage();
    this.#at = at;
    this.#delay.reset();
    return report;
  }

  close(): void {
    this.#delay.disable();
  }
}
