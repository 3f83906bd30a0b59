/** One worker's part of a run, against a server that gives everybody what anybody says. */
import { expect, onTestFinished, test, vi } from 'vitest';
import { machineMicros } from '../../src/load/clock.js';
import { Engine } from '../../src/load/engine.js';
import type { WorkerReport } from '../../src/load/measure/worker-report.js';
import { Member } from '../../src/load/member.js';
import { resolvePlan } from '../../src/load/plan.js';
import { startBroadcastServer } from '../support/broadcast-server.js';
import { targetSpec } from '../support/load-fakes.js';

/** Four members, two of them stalled, of whom `tried` are connected when the time for that is over. */
async function connected(tried: number, before: (engine: Engine) => void = () => {}) {
  const server = await startBroadcastServer('loop');
  onTestFinished(() => server.close());
  const target = targetSpec('ws', server.url);
  const plan = resolvePlan(
    { members: '4', cohorts: ['stalled=2'], rampUp: '0' },
    target,
    1,
    'abcd',
  );
  const reports: WorkerReport[] = [];
  const engine = await Engine.create(plan, 0, machineMicros(), (report) => reports.push(report));
  const connects = vi.spyOn(Member.prototype, 'connect');
  const now = performance.now.bind(performance);
  vi.spyOn(performance, 'now').mockImplementation(
    () => now() + (connects.mock.calls.length < tried ? 0 : 60_000),
  );
  onTestFinished(() => void vi.restoreAllMocks());
  before(engine);
  await engine.connect();
  const counters = reports.at(-1)!.cohorts.map((cohort) => cohort.counters);
  await engine.close();
  return counters;
}

test('a member that did not get to connect has failed, whatever its cohort', async () => {
  const counters = await connected(2);
  const failed = counters.map(({ failures }) => failures['did not get to connect in time'] ?? 0);
  expect(counters.map(({ connects }, i) => connects + failed[i]!)).toEqual([2, 2]);
  expect(failed[0]! + failed[1]!).toBe(2);
});

test('who had none as the run was interrupted has not', async () => {
  const counters = await connected(2, (engine) => engine.stop());
  expect(counters.map(({ failures }) => failures)).toEqual([{}, {}]);
});
