/**
 * Health of the generator itself: event loop utilization, event loop delay, CPU time used and waited
 * for, and how late it publishes. A saturated generator measures itself instead of the server.
 * Not here: the limits of saturation (verdict.ts).
 */
import { type EventLoopUtilization, monitorEventLoopDelay } from 'node:perf_hooks';
import { cpuWaitSeconds } from './cpu-wait.js';
import type { Latency } from './measure/latency.js';
import type { HealthReport } from './measure/worker-report.js';

const RESOLUTION_MS = 10;

export class GeneratorHealth {
  readonly #delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  readonly #lateness: Latency;
  #utilization: EventLoopUtilization = performance.eventLoopUtilization();
  #cpu = process.cpuUsage();
  #waited = cpuWaitSeconds('self');
  #at = performance.now();

  constructor(lateness: Latency) {
    this.#lateness = lateness;
    this.#delay.enable();
  }

  /** Discards what was measured until now. */
  reset(): void {
    this.take();
  }

  take(): HealthReport {
    const utilization = performance.eventLoopUtilization();
    const cpu = process.cpuUsage(this.#cpu);
    const waited = cpuWaitSeconds('self');
    const at = performance.now();
    const late = (ns: number): number => Math.max(0, ns / 1000 - RESOLUTION_MS * 1000);
    const report: HealthReport = {
      utilization: performance.eventLoopUtilization(utilization, this.#utilization).utilization,
      loopDelayP99: late(this.#delay.percentile(99)),
      loopDelayMax: late(this.#delay.max),
      cpuMs: (cpu.user + cpu.system) / 1000,
      cpuWait:
        waited === null || this.#waited === null
          ? null
          : ((waited - this.#waited) * 1000) / (at - this.#at),
      elapsedMs: at - this.#at,
      lateness: this.#lateness.take(),
    };
    this.#utilization = utilization;
    this.#cpu = process.cpuUsage();
    this.#waited = waited;
    this.#at = at;
    this.#delay.reset();
    return report;
  }

  close(): void {
    this.#delay.disable();
  }
}
