import { expect, it } from 'vitest';
import { Ledger } from '../../src/cluster/ledger.js';
import { Detector } from '../../src/lock/index.js';
import { pack, unpack } from '../../src/metrics/packed.js';
import { Recorder } from '../../src/metrics/recorder.js';
import { createMetrics } from '../../src/metrics/registry.js';
import type { AllValues } from '../../src/metrics/values.js';
import { type Gathered, merged } from '../../src/metrics/workers.js';
import { FakeGauges, FakeMember, parse, sources, sum, unaccounted } from '../metrics/support.js';

/** Values of a worker with these deliveries and queued messages. */
function worker(delivered: number, queued: number) {
  const recorder = new Recorder();
  recorder.fannedOut(delivered + queued);
  recorder.delivered(0, false, 0.001, delivered);
  recorder.roundTrip(1, 0.002);
  const gauges = new FakeGauges();
  const member = new FakeMember();
  member.queuedMessages = queued;
  gauges.behind.add(member);
  gauges.connect(0, 1);
  const detector = new Detector({ mode: 'off' });
  const metrics = createMetrics({ ...sources(), recorder, gauges, detector });
  const values = metrics.read();
  metrics.close();
  return values;
}

const gather = (ledger: Ledger, incarnations: number[] = []) =>
  new Promise<Gathered>((resolve) => ledger.gather(incarnations, resolve));

it('values survive the transfer between processes', () => {
  const values = worker(5, 2);
  const there = unpack(structuredClone(pack(values)));
  expect(pack(there)).toEqual(pack(values));
  expect(() => unpack(new Float64Array(3))).toThrow('3 numbers');
});

it('counts of an ended worker stay, and its queued messages count as abandoned (V10)', async () => {
  const ledger = new Ledger();
  const note = (incarnation: number, slot: number, values: AllValues) => {
    ledger.begin(incarnation, slot);
    ledger.note(incarnation, pack(values));
  };
  note(1, 0, worker(10, 3));
  note(2, 1, worker(20, 0));
  ledger.end(1);
  note(3, 0, worker(1, 0));
  note(4, 0, worker(0, 4));
  ledger.end(4);
  const gathered = await gather(ledger);
  // A scrape of one worker, as text.
  const metrics = createMetrics({
    ...sources(),
    detector: new Detector({ mode: 'off' }),
    workers: { slots: 2, gather: async () => ({ ...gathered, restarts: 2 }) },
  });
  const series = parse(await metrics.scrape());
  metrics.close();
  expect(sum(series, 'roomcast_delivered_total')).toBe(31);
  expect(sum(series, 'roomcast_abandoned_total')).toBe(7);
  expect(sum(series, 'roomcast_queue_messages')).toBe(0);
  expect(unaccounted(series)).toBe(0);
  // Only living workers: gauges of dead ones are dropped.
  expect(sum(series, 'roomcast_members')).toBe(2);
  expect(sum(series, 'roomcast_workers')).toBe(2);
  expect(series.get('roomcast_member_rtt_seconds_count{transport="sockjs-websocket"}')).toBe(4);
  expect(series.get('roomcast_worker_restarts_total')).toBe(2);
  // Process metrics are reported per worker.
  const resident = [...series.keys()].filter((key) => key.startsWith('process_resident'));
  expect(resident).toEqual(
    ['0', '1'].map((slot) => `process_resident_memory_bytes{worker="${slot}"}`),
  );
});

it('a worker that does not answer in time is reported with its last values', async () => {
  const ledger = new Ledger();
  for (const [incarnation, slot] of [
    [1, 0],
    [2, 1],
  ] as const) {
    ledger.begin(incarnation, slot);
    ledger.note(incarnation, pack(worker(5, 0)));
  }
  const asked = gather(ledger, [1, 2]);
  ledger.note(1, pack(worker(6, 0)));
  const gathered = await asked;
  expect(gathered.stale).toEqual([1]);
  const all = merged(gathered, 2);
  expect(Array.from(all['delivered'] as number[])).toEqual([11]);
  expect(all['workersStale']).toBe(1);
  expect(all['workersMissing']).toBe(0);
  // One slot of three is empty.
  expect(merged(gathered, 3)['workersMissing']).toBe(1);
});
