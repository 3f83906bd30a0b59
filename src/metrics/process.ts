/**
 * Metrics of this process from Node and the system. The names are those of prom-client's defaults, but the
 * values are read here: its garbage collection metric counts one pause of each batch it receives
 * (we saw half of them missing), some of its names fail `promtool check metrics`, and the observers it
 * starts for a registry cannot be stopped (V8).
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { constants, monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';
import { clearInterval, setInterval } from '../time.js';
import { CATALOGUE } from './catalogue/index.js';
import { GC_KINDS } from './catalogue/process.js';
import { HistogramCells } from './cells.js';

const SAMPLE_MS = 10;

const GC_INDEX = new Map([
  [constants.NODE_PERFORMANCE_GC_MINOR, GC_KINDS.indexOf('minor')],
  [constants.NODE_PERFORMANCE_GC_MAJOR, GC_KINDS.indexOf('major')],
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL, GC_KINDS.indexOf('incremental')],
  [constants.NODE_PERFORMANCE_GC_WEAKCB, GC_KINDS.indexOf('weakcb')],
]);

/** In seconds. */
export interface EventLoopLag {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Measures the lag of the event loop, period by period. */
export class EventLoopDelay {
  readonly #delay = monitorEventLoopDelay({ resolution: SAMPLE_MS });

  constructor() {
    this.#delay.enable();
  }

  /** The lag since the last call; it resets the period, so it is for one reader only. */
  take(): EventLoopLag {
    const lag = this.read();
    this.#delay.reset();
    return lag;
  }

  /** The lag since the last `take`. */
  read(): EventLoopLag {
    const delay = this.#delay;
    // The sample is the interval between two ticks, so an idle loop shows the resolution itself.
    const late = (ns: number) => Math.max(0, ns / 1e9 - SAMPLE_MS / 1e3);
    return {
      p50: late(delay.percentile(50)),
      p99: late(delay.percentile(99)),
      max: late(delay.max),
    };
  }

  close(): void {
    this.#delay.disable();
  }
}

/** A minute, in slices with a timer of their own, so that one reader does not reset the period of another. */
const SLICE_MS = 10_000;
const SLICES = 6;

/** The worst slice of the last minute, including the current one. */
class RecentLag {
  readonly #delay = new EventLoopDelay();
  readonly #slices: EventLoopLag[] = [];
  readonly #timer = setInterval(() => {
    this.#slices.push(this.#delay.take());
    if (this.#slices.length > SLICES) this.#slices.shift();
  }, SLICE_MS).unref();

  read(): EventLoopLag {
    const slices = [...this.#slices, this.#delay.read()];
    const worst = (of: keyof EventLoopLag) => Math.max(...slices.map((slice) => slice[of]));
    return { p50: worst('p50'), p99: worst('p99'), max: worst('max') };
  }

  close(): void {
    clearInterval(this.#timer);
    this.#delay.close();
  }
}

export class ProcessStats {
  readonly startTime = Math.round(Date.now() / 1000 - process.uptime());
  readonly maxFds = maxFds();
  readonly gcSeconds = new HistogramCells(
    CATALOGUE.nodejsGcDurationSeconds.buckets,
    GC_KINDS.length,
  );
  readonly #lag = new RecentLag();
  readonly #gc = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) this.#collected(entry);
  });

  constructor() {
    this.#gc.observe({ entryTypes: ['gc'] });
  }

  /** The lag in the last minute; every reader gets the same. */
  eventLoopLag(): EventLoopLag {
    return this.#lag.read();
  }

  close(): void {
    this.#lag.close();
    this.#gc.disconnect();
  }

  #collected(entry: { duration: number; detail?: unknown }): void {
    const { kind } = entry.detail as { kind: number };
    const series = GC_INDEX.get(kind);
    if (series !== undefined) this.gcSeconds.observe(series, entry.duration / 1e3, 1);
  }
}

/** Maximum of open descriptors of this process; NaN without a limit or without /proc. */
export function maxFds(): number {
  return ask(() => {
    const limits = readFileSync('/proc/self/limits', 'utf8');
    return Number(/^Max open files +(\d+)/m.exec(limits)?.[1]);
  });
}

/** Number of open file descriptors; NaN without /proc. */
export function openFds(): number {
  // Since Linux 6.2 the size of the directory is their number; listing thousands takes milliseconds.
  return ask(() => statSync('/proc/self/fd').size || readdirSync('/proc/self/fd').length);
}

/** Resident memory of this process in bytes; NaN if unknown. */
export function residentBytes(): number {
  return ask(() => process.memoryUsage.rss());
}

/** As `process.memoryUsage()`, with NaN for unknown values. */
export function memoryUsage(): {
  rss: number;
  heapTotal: number;
  heapUsed: number;
  external: number;
} {
  const { total_heap_size, used_heap_size, external_memory } = getHeapStatistics();
  return {
    rss: residentBytes(),
    heapTotal: total_heap_size,
    heapUsed: used_heap_size,
    external: external_memory,
  };
}

/** NaN if the call fails: without /proc, or out of descriptors to read it with (V12). */
function ask(system: () => number): number {
  try {
    return system();
  } catch {
    return Number.NaN;
  }
}
