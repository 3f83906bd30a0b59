import { expect, onTestFinished, test, vi } from 'vitest';
import { GeneratorHealth } from '../../src/load/health.js';
import { Latency } from '../../src/load/measure/latency.js';

const cpu = vi.hoisted(() => ({ waited: 7 as number | null }));
vi.mock('../../src/load/cpu-wait.js', () => ({ cpuWaitSeconds: () => cpu.waited }));

test('the wait for a CPU is the share of the time since the last report', () => {
  let now = 1000;
  vi.spyOn(performance, 'now').mockImplementation(() => now);
  const health = new GeneratorHealth(new Latency());
  onTestFinished(() => health.close());
  const next = (ms: number, waited: number | null) => {
    now += ms;
    cpu.waited = waited;
    return health.take().cpuWait;
  };
  expect(next(1000, 7.25)).toBeCloseTo(0.25);
  expect(next(2000, 7.75)).toBeCloseTo(0.25);
  expect(next(1000, 7.75)).toBe(0);
  expect(next(1000, null)).toBeNull();
});
