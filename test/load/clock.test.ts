import { expect, onTestFinished, test, vi } from 'vitest';

test('a process that got no CPU between two readings has the same clock as the others', async () => {
  onTestFinished(() => void vi.restoreAllMocks());
  vi.spyOn(process.hrtime, 'bigint').mockReturnValue(5_000_000_000n);
  // 11 ms pass before the first reading, and 2 ms before the third.
  const now = vi.spyOn(performance, 'now').mockReturnValue(100);
  for (const late of [111, 100, 102]) now.mockReturnValueOnce(late);
  vi.resetModules();
  const { machineMicros } = await import('../../src/load/clock.js');
  now.mockReturnValue(100);
  expect(machineMicros()).toBe(5_000_000);
});
