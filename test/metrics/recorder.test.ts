import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AUTH_RESULTS, type AuthObserver, QUESTIONS } from '../../src/auth/observer.js';
import { CALLS } from '../../src/broker/calls.js';
import { END_REASONS, REFUSAL_CODES } from '../../src/metrics/catalogue/connections.js';
import { Recorder } from '../../src/metrics/recorder.js';
import { createMetrics } from '../../src/metrics/registry.js';
import {
  DROP_REASONS,
  type Observer,
  PRESENCE_CHANGES,
  PRESENCE_FRAMES,
  RECOVERIES,
  REPLAYED,
  REPLAYS,
  SOCKET_REFUSALS,
} from '../../src/room/observer.js';
import { TRANSPORTS } from '../../src/transport/transport.js';
import { parse, sources } from './support.js';

type Observers = Observer & AuthObserver;

type Call = {
  [K in keyof Observers]: readonly [K, ...Parameters<Observers[K]>];
}[keyof Observers];

const transport = fc.nat(TRANSPORTS.length - 1);
const count = fc.integer({ min: 1, max: 1000 });
const reason = fc.constantFrom(...END_REASONS);
// Includes the bounds themselves: a value belongs to the bound that it equals.
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
  fc.tuple(fc.constant('recovered' as const), fc.constantFrom(...RECOVERIES)),
  fc.tuple(
    fc.constant('replayed' as const),
    fc.constantFrom(...REPLAYS),
    fc.constantFrom(...REPLAYED),
    count,
  ),
  fc.tuple(fc.constant('presenceChanged' as const), fc.constantFrom(...PRESENCE_CHANGES)),
  fc.tuple(fc.constant('presenceShown' as const), fc.constantFrom(...PRESENCE_FRAMES), count),
  fc.tuple(fc.constant('authenticated' as const), fc.constantFrom(...AUTH_RESULTS), seconds),
  fc.tuple(fc.constant('tokenExpired' as const)),
  fc.tuple(fc.constant('keysFetched' as const), fc.boolean()),
  fc.tuple(fc.constant('appFailed' as const), fc.constantFrom(...QUESTIONS)),
  fc.tuple(fc.constant('brokerAnswered' as const), fc.constantFrom(...CALLS), seconds),
  fc.tuple(fc.constant('brokerUncertain' as const)),
  fc.tuple(fc.constant('brokerLost' as const), count),
  fc.tuple(fc.constant('brokerReset' as const)),
);

/** The expected values, computed from labels as text. */
class Naive implements Observers {
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
  recovered(result: string) {
    this.#add(`roomcast_recoveries_total{result="${result}"}`, 1);
  }
  replayed(how: string, result: string, count: number) {
    this.#add(`roomcast_replayed_total{how="${how}",result="${result}"}`, count);
    if (result === 'sent') this.#add(`roomcast_replayed_batches_total{how="${how}"}`, 1);
  }
  presenceChanged(kind: string) {
    this.#add(`roomcast_presence_changes_total{kind="${kind}"}`, 1);
  }
  presenceShown(kind: string, bytes: number) {
    this.#add(`roomcast_presence_frames_total{kind="${kind}"}`, 1);
    this.#add('roomcast_presence_bytes_total', bytes);
  }
  authenticated(result: string, seconds: number) {
    this.#add(`roomcast_authentications_total{result="${result}"}`, 1);
    this.#observe('roomcast_authentication_seconds', '', seconds, 1);
  }
  tokenExpired() {
    this.#add('roomcast_tokens_expired_total', 1);
  }
  keysFetched(isOk: boolean) {
    this.#add(`roomcast_key_fetches_total{result="${isOk ? 'ok' : 'failed'}"}`, 1);
  }
  appFailed(question: string) {
    this.#add(`roomcast_app_checks_failed_total{question="${question}"}`, 1);
  }
  brokerAnswered(call: string, seconds: number) {
    this.#observe('roomcast_broker_call_seconds', `call="${call}"`, seconds, 1);
  }
  brokerUncertain() {
    this.#add('roomcast_broker_uncertain_total', 1);
  }
  brokerLost(count: number) {
    this.#add('roomcast_broker_lost_total', count);
  }
  brokerReset() {
    this.#add('roomcast_broker_resets_total', 1);
  }
  socketRefused(reason: string) {
    this.#add(`roomcast_sockets_refused_total{reason="${reason}"}`, 1);
  }
}

const COUNTED =
  /^roomcast_(published|fanout|delivered|dropped|abandoned|sent_bytes|connections_\w+|evictions|refusals|sockets_refused|recoveries|replayed\w*|presence_(?:changes|frames|bytes)|authentications|tokens_expired|key_fetches|app_checks_failed|broker_\w+)_total/;
const HISTOGRAM =
  /^(roomcast_(?:delivery|queue_wait|flush|member_rtt|authentication|broker_call)_seconds)_(bucket|sum|count)(?:\{(.*)\})?$/;

describe('Recorder', () => {
  it('agrees with a naive count of the same calls', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(call, { maxLength: 60 }), async (calls) => {
        const recorder = new Recorder();
        const naive = new Naive();
        for (const [name, ...args] of calls) {
          for (const observer of [recorder, naive] as Observers[]) {
            (observer[name] as (...args: unknown[]) => void)(...args);
          }
        }
        const metrics = createMetrics({ ...sources(), recorder });
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
