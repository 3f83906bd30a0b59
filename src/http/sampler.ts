/**
 * Samples the server every second for the live page and keeps the last 15 minutes, so that a page opened
 * after an incident still shows it. Memory is fixed: a fixed number of samples of a fixed number of
 * series, however many are connected (V9).
 *
 * Not here: the members and rooms (`live.ts`), Prometheus metrics (`metrics/registry.ts`).
 */
import { CONSUMERS } from '../metrics/catalogue/delivery.js';
import { CATALOGUE } from '../metrics/catalogue/index.js';
import { LOCK_MODES, LOCKS } from '../metrics/catalogue/locks.js';
import type { HistogramCells } from '../metrics/cells.js';
import type { Sources } from '../metrics/collect.js';
import { read } from '../metrics/gauges.js';
import { readLocks } from '../metrics/locks.js';
import { EventLoopDelay, residentBytes } from '../metrics/process.js';
import {
  type DropSeries,
  type LockSeries,
  REMEMBERED,
  SERIES,
  type Series,
  type Values,
} from '../page/frame.js';
import { DROP_REASONS, REPLAYED } from '../room/observer.js';
import { clearInterval, nowMs, setInterval } from '../time.js';
import { TRANSPORTS } from '../transport/transport.js';
import { quantile, Window } from './quantile.js';

export type SamplerOptions = Pick<
  Sources,
  'recorder' | 'gauges' | 'detector' | 'hub' | 'brokers' | 'people'
>;

export interface Sample {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly values: Values;
}

const EVERY_MS = 1000;
/** Minimum interval, so that a late timer causes no division by zero. */
const LEAST_MS = 1;

const SENT = REPLAYED.indexOf('sent');
const CONFLATED = DROP_REASONS.indexOf('conflated');

/** The server's own lock classes. */
export const OWN_LOCKS = LOCKS.filter((lock) => lock !== 'other');

const lockSeries: LockSeries[] = OWN_LOCKS.flatMap((lock): LockSeries[] => [
  `hold ${lock}`,
  `wait ${lock}`,
]);

const dropSeries = DROP_REASONS.map((reason): DropSeries => `drop ${reason}`);

export class Sampler {
  readonly series: readonly Series[] = [...SERIES, ...lockSeries, ...dropSeries];
  /** Oldest first, at most `REMEMBERED`. */
  readonly past: Sample[] = [];
  /** Called with each new sample. */
  onSample: (sample: Sample) => void = () => {};

  readonly #options: SamplerOptions;
  readonly #loop = new EventLoopDelay();
  readonly #timer: NodeJS.Timeout;
  readonly #windows = new Map<LockSeries | 'healthy' | 'slow', Window>();
  #before = {
    at: nowMs(),
    published: 0,
    delivered: 0,
    dropped: 0,
    droppedBy: DROP_REASONS.map(() => 0),
    evicted: 0,
    recovered: 0,
    readAgain: 0,
    cpu: 0,
  };

  constructor(options: SamplerOptions) {
    this.#options = options;
    const { bounds } = options.recorder.deliverySeconds;
    for (const consumer of CONSUMERS) this.#windows.set(consumer, new Window(bounds.length));
    for (const series of lockSeries) {
      this.#windows.set(series, new Window(CATALOGUE.lockHoldSeconds.buckets.length + 1));
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
    const { recorder, gauges, hub, brokers, people } = this.#options;
    const at = nowMs();
    const reading = read(gauges);
    const { user, system } = process.cpuUsage();
    const now = {
      at,
      published: gauges.mesh?.published ?? recorder.totals.published,
      delivered: recorder.deliverySeconds.total(),
      // Conflation is the room's policy, not a loss.
      dropped: total(recorder.droppedBy) - recorder.droppedBy[CONFLATED]!,
      droppedBy: Array.from(recorder.droppedBy),
      evicted: total(recorder.evictedBy),
      recovered: total(recorder.recoveredBy),
      readAgain: total(recorder.replayedBy.filter((_, i) => i % REPLAYED.length === SENT)),
      cpu: (user + system) / 1e6,
    };
    const before = this.#before;
    this.#before = now;
    const seconds = Math.max(LEAST_MS, at - before.at) / 1e3;
    const healthy = this.#delivered('healthy');
    const { bounds } = recorder.deliverySeconds;
    const loop = this.#loop.take();
    const resident = residentBytes();
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
      // NaN if out of file descriptors.
      residentBytes: Number.isNaN(resident) ? null : resident,
      users: people.size,
      watchers: hub.presence.watchers,
      historyBytes: brokers.memory?.kept.bytes ?? 0,
      recoveriesPerSecond: (now.recovered - before.recovered) / seconds,
      readAgainPerSecond: (now.readAgain - before.readAgain) / seconds,
      readingAgain: hub.replays.size + hub.backfills.size,
    };
    const drops = now.droppedBy.map((count, i) => (count - before.droppedBy[i]!) / seconds);
    const values = [...SERIES.map((name) => own[name]), ...this.#locks(), ...drops];
    return { at: Date.now(), values };
  }

  /** Deliveries to this kind of consumer since the last call, by bucket, over all transports. */
  #delivered(consumer: (typeof CONSUMERS)[number]): Float64Array {
    const { deliverySeconds } = this.#options.recorder;
    const sums = new Float64Array(deliverySeconds.bounds.length);
    for (let transport = 0; transport < TRANSPORTS.length; transport += 1) {
      const row = transport * CONSUMERS.length + CONSUMERS.indexOf(consumer);
      sumRows(deliverySeconds, row, 1).forEach((count, i) => {
        sums[i]! += count;
      });
    }
    return this.#windows.get(consumer)!.since(sums);
  }

  /** In the order of `lockSeries`. */
  #locks(): (number | null)[] {
    const { lockHoldSeconds, lockWaitSeconds } = readLocks(this.#options.detector.metrics());
    return lockSeries.map((series) => {
      const [what, lock] = series.split(' ') as ['hold' | 'wait', (typeof LOCKS)[number]];
      const cells = what === 'hold' ? lockHoldSeconds : lockWaitSeconds;
      const counts = sumRows(cells, LOCKS.indexOf(lock) * LOCK_MODES.length, LOCK_MODES.length);
      return quantile(0.99, cells.bounds, this.#windows.get(series)!.since(counts));
    });
  }
}

/** Sums the buckets of `count` rows. */
function sumRows({ counts, bounds }: HistogramCells, first: number, count: number): Float64Array {
  const sums = new Float64Array(bounds.length);
  for (let row = first; row < first + count; row += 1) {
    for (let i = 0; i < sums.length; i += 1) sums[i]! += counts[row * bounds.length + i]!;
  }
  return sums;
}

function total(counts: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < counts.length; i += 1) sum += counts[i]!;
  return sum;
}
