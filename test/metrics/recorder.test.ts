import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Detector } from '../../src/lock/index.js';
import { END_REASONS, REFUSAL_CODES } from '../../src/metrics/catalogue/connections.js';
import { Recorder } from '../../src/metrics/recorder.js';
import { createMetrics } from '../../src/metrics/registry.js';
import { DROP_REASONS, type Observer, SOCKET_REFUSALS } from '../../src/room/observer.js';
import { TRANSPORTS } from '../../src/transport/transport.js';
import { FakeGauges, parse } from './support.js';

type Call = {
  [K in keyof Observer]: readonly [K, ...Parameters<Observer[K]>];
}[keyof Observer];

const transport = fc.nat(TRANSPORTS.length - 1);
const count = fc.integer({ min: 1, max: 1000 });
const reason = fc.constantFrom(...END_REASONS);
// Bounds themselves too: a value belongs to the bound it equals.
const seconds = fc.oneof(
  fc.constantFrom(0, 0.00001, 0.0001, 0.005, 0.1, 10, 11),
  fc.double({ min: 0, max: 20, noNaN: true }),
);

const call: fc.Arbitrary<Call> = fc.oneof(
  fc.tuple(fc.constant('published' as const)),
  fc.tuple(fc.constant('fannedOut' as const), count),
  fc.tuple(fc.constant('delivered' as const), transport, fc.boolean(), seconds, count),
  fc.tuple(fc.constant('queueWaited' as const), transport, fc.boolean(), seconds, count),
  fc.tuple(fc.constant('dropped' as const), fc.constantFrom(...DROP_REASONS), count),
  fc.tuple(fc.constant('abandoned' as const), count),
  fc.tuple(fc.constant('sentBytes' as const), transport, count),
  fc.tuple(fc.constant('opened' as const), transport),
  fc.tuple(fc.constant('closed' as const), transport, reason),
  fc.tuple(fc.constant('evicted' as const), reason),
  fc.tuple(fc.constant('flushed' as const), seconds),
  fc.tuple(fc.constant('roundTrip' as const), transport, seconds),
  fc.tuple(fc.constant('refused' as const), fc.constantFrom(...REFUSAL_CODES)),
  fc.tuple(fc.constant('socketRefused' as const), fc.constantFrom(...SOCKET_REFUSALS)),
);

/** What a reader of the catalogue expects of the calls, computed from labels written as text. */
class Naive implements Observer {
  readonly counters = new Map<string, number>();
  readonly observations = new Map<string, [value: number, count: number][]>();

  #add(series: string, count: number): void {
    this.counters.set(series, (this.counters.get(series) ?? 0) + count);
  }
  #observe(name: string, labels: string, value: number, count: number): void {
    const key = `${name}|${labels}`;
    this.observations.set(key, [...(this.observations.get(key) ?? []), [value, count]]);
  }
  published() {
    this.#add('roomcast_published_total', 1);
  }
  fannedOut(count: number) {
    this.#add('roomcast_fanout_total', count);
  }
  delivered(t: number, slow: boolean, seconds: number, count: number) {
    this.#add('roomcast_delivered_total', count);
    const labels = `transport="${TRANSPORTS[t]}",consumer="${slow ? 'slow' : 'healthy'}"`;
    this.#observe('roomcast_delivery_seconds', labels, seconds, count);
  }
  queueWaited(t: number, slow: boolean, seconds: number, count: number) {
    const labels = `transport="${TRANSPORTS[t]}",consumer="${slow ? 'slow' : 'healthy'}"`;
    this.#observe('roomcast_queue_wait_seconds', labels, seconds, count);
  }
  dropped(reason: string, count: number) {
    this.#add(`roomcast_dropped_total{reason="${reason}"}`, count);
  }
  abandoned(count: number) {
    this.#add('roomcast_abandoned_total', count);
  }
  sentBytes(t: number, bytes: number) {
    this.#add(`roomcast_sent_bytes_total{transport="${TRANSPORTS[t]}"}`, bytes);
  }
  opened(t: number) {
    this.#add(`roomcast_connections_opened_total{transport="${TRANSPORTS[t]}"}`, 1);
  }
  closed(t: number, reason: string) {
    const labels = `transport="${TRANSPORTS[t]}",reason="${reason}"`;
    this.#add(`roomcast_connections_closed_total{${labels}}`, 1);
  }
  evicted(reason: string) {
    this.#add(`roomcast_evictions_total{reason="${reason}"}`, 1);
  }
  flushed(seconds: number) {
    this.#observe('roomcast_flush_seconds', '', seconds, 1);
  }
  roundTrip(t: number, seconds: number) {
    const labels = `transport="${TRANSPORTS[t]}"`;
    this.#observe('roomcast_member_rtt_seconds', labels, seconds, 1);
  }
  refused(code: string) {
    this.#add(`roomcast_refusals_total{code="${code}"}`, 1);
  }
  socketRefused(reason: string) {
    this.#add(`roomcast_sockets_refused_total{reason="${reason}"}`, 1);
  }
}

const COUNTED =
  /^roomcast_(published|fanout|delivered|dropped|abandoned|sent_bytes|connections_\w+|evictions|refusals|sockets_refused)_total/;
const HISTOGRAM =
  /^(roomcast_(?:delivery|queue_wait|flush|member_rtt)_seconds)_(bucket|sum|count)(?:\{(.*)\})?$/;

describe('Recorder', () => {
  it('publishes what a naive count of the same calls does', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(call, { maxLength: 60 }), async (calls) => {
        const recorder = new Recorder();
        const naive = new Naive();
        for (const [name, ...args] of calls) {
          for (const observer of [recorder, naive] as Observer[]) {
            (observer[name] as (...args: unknown[]) => void)(...args);
          }
        }
        const metrics = createMetrics({
          recorder,
          gauges: new FakeGauges(),
          detector: new Detector(),
          version: '0',
        });
        const series = parse(await metrics.scrape());
        metrics.close();

        const unseen = new Set(naive.counters.keys());
        const unobserved = new Set(naive.observations.keys());
        for (const [key, value] of series) {
          if (COUNTED.test(key)) {
            expect([key, value]).toEqual([key, naive.counters.get(key) ?? 0]);
            unseen.delete(key);
          }
          const histogram = HISTOGRAM.exec(key);
          if (histogram === null) continue;
          const [, name, part, text = ''] = histogram;
          const labels = text.split(',').filter((label) => label && !label.startsWith('le='));
          const le = Number(/le="([^"]+)"/.exec(text)?.[1]?.replace('+Inf', 'Infinity'));
          const of = `${name}|${labels.join(',')}`;
          unobserved.delete(of);
          const all = naive.observations.get(of) ?? [];
          const under = part === 'bucket' ? all.filter(([v]) => v <= le) : all;
          const expected = under.reduce((sum, [v, n]) => sum + (part === 'sum' ? v * n : n), 0);
          expect(value, key).toBeCloseTo(expected, 6);
        }
        expect([...unseen, ...unobserved]).toEqual([]);
      }),
      { numRuns: 30 },
    );
  });
});
