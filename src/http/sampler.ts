/**
 * Takes the pulse of the server every second for the live page, and remembers 15 minutes of it, so
 * that whoever opens the page after an incident still sees it. Bounded by construction: a fixed
 * number of seconds of a fixed number of numbers, whoever is connected (V9).
 *
 * Not here: who is connected (`live.ts`), what Prometheus gets (`metrics/registry.ts`).
 */
import { type LockHistogram, lockMetrics } from '../lock/index.js';
import { CATALOGUE, CONSUMERS, LOCKS } from '../metrics/catalogue.js';
import { type Gauges, read } from '../metrics/gauges.js';
import { EventLoopDelay } from '../metrics/process.js';
import type { Recorder } from '../metrics/recorder.js';
import { type LockSeries, REMEMBERED, SERIES, type Series, type Values } from '../page/frame.js';
import { TRANSPORTS } from '../transport/transport.js';
import { quantile, Window } from './quantile.js';

export interface SamplerOptions {
  readonly recorder: Recorder;
  readonly gauges: Gauges;
}

export interface Sample {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly values: Values;
}

const EVERY_MS = 1000;
/** A late timer must not make a rate of nothing. */
const LEAST_MS = 1;

const lockSeries: LockSeries[] = LOCKS.flatMap((lock): LockSeries[] => [
  `hold ${lock}`,
  `wait ${lock}`,
]);

export class Sampler {
  readonly series: readonly Series[] = [...SERIES, ...lockSeries];
  /** Oldest first, at most `REMEMBERED`. */
  readonly past: Sample[] = [];
  /** Called after each second. */
  onSample: (sample: Sample) => void = () => {};

  readonly #options: SamplerOptions;
  readonly #loop = new EventLoopDelay();
  readonly #timer: NodeJS.Timeout;
  readonly #windows = new Map<LockSeries | 'healthy' | 'slow', Window>();
  #before = { at: performance.now(), published: 0, delivered: 0, dropped: 0, evicted: 0, cpu: 0 };

  constructor(options: SamplerOptions) {
    this.#options = options;
    const { bounds } = options.recorder.deliverySeconds;
    for (const consumer of CONSUMERS) this.#windows.set(consumer, new Window(bounds));
    for (const series of lockSeries) {
      this.#windows.set(series, new Window(CATALOGUE.lockHoldSeconds.buckets));
    }
    this.#take();
    this.#timer = setInterval(() => {
      const sample = this.#take();
      this.past.push(sample);
      if (this.past.length > REMEMBERED) this.past.shift();
      this.onSample(sample);
    }, EVERY_MS).unref();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#loop.close();
  }

  #take(): Sample {
    const { recorder, gauges } = this.#options;
    const at = performance.now();
    const reading = read(gauges);
    const { user, system } = process.cpuUsage();
    const now = {
      at,
      published: recorder.totals.published,
      delivered: recorder.deliverySeconds.total(),
      dropped: total(recorder.droppedBy),
      evicted: total(recorder.evictedBy),
      cpu: (user + system) / 1e6,
    };
    const before = this.#before;
    this.#before = now;
    const seconds = Math.max(LEAST_MS, at - before.at) / 1e3;
    const healthy = this.#delivered('healthy');
    const { bounds } = recorder.deliverySeconds;
    const loop = this.#loop.take();
    const own: Record<(typeof SERIES)[number], number | null> = {
      members: total(reading.membersBy),
      slowMembers: reading.slowMembers,
      rooms: reading.rooms,
      publishedPerSecond: (now.published - before.published) / seconds,
      deliveredPerSecond: (now.delivered - before.delivered) / seconds,
      droppedPerSecond: (now.dropped - before.dropped) / seconds,
      evictedPerSecond: (now.evicted - before.evicted) / seconds,
      healthyP50: quantile(0.5, bounds, healthy),
      healthyP99: quantile(0.99, bounds, healthy),
      slowP99: quantile(0.99, bounds, this.#delivered('slow')),
      queueBytes: reading.queueBytes,
      loopP99: loop.p99,
      loopMax: loop.max,
      cpu: (now.cpu - before.cpu) / seconds,
      residentBytes: process.memoryUsage.rss(),
    };
    return { at: Date.now(), values: [...SERIES.map((name) => own[name]), ...this.#locks()] };
  }

  /** Deliveries to members of a kind since the last call, over all transports, by bucket. */
  #delivered(consumer: (typeof CONSUMERS)[number]): Float64Array {
    const { counts, bounds } = this.#options.recorder.deliverySeconds;
    const sums = new Float64Array(bounds.length);
    for (let transport = 0; transport < TRANSPORTS.length; transport += 1) {
      const row = transport * CONSUMERS.length + CONSUMERS.indexOf(consumer);
      for (let i = 0; i < sums.length; i += 1) sums[i]! += counts[row * bounds.length + i]!;
    }
    return this.#windows.get(consumer)!.since(sums);
  }

  /** In the order of `lockSeries`. */
  #locks(): (number | null)[] {
    const { buckets } = CATALOGUE.lockHoldSeconds;
    const { locks } = lockMetrics();
    return lockSeries.map((series) => {
      const [what, lock] = series.split(' ') as ['hold' | 'wait', string];
      const counts = new Float64Array(buckets.length + 1);
      for (const row of locks) {
        if (row.lock === lock) addBuckets(counts, row[what]);
      }
      return quantile(0.99, buckets, this.#windows.get(series)!.since(counts));
    });
  }
}

function addBuckets(counts: Float64Array, { cumulative, count }: LockHistogram): void {
  for (let i = 0; i < counts.length; i += 1) {
    counts[i]! += (cumulative[i] ?? count) - (cumulative[i - 1] ?? 0);
  }
}

function total(counts: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < counts.length; i += 1) sum += counts[i]!;
  return sum;
}
