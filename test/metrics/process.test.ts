import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  maxFds,
  memoryUsage,
  openFds,
  ProcessStats,
  residentBytes,
} from '../../src/metrics/process.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function block(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

let stats: ProcessStats;
afterEach(() => stats.close());

const WAIT = { timeout: 10_000 };

describe('ProcessStats', () => {
  it('counts every garbage collection, also several in one turn of the loop', async () => {
    stats = new ProcessStats();
    for (let i = 0; i < 5; i += 1) collectGarbage();
    await vi.waitFor(() => expect(stats.gcSeconds.total()).toBeGreaterThanOrEqual(5), WAIT);
    expect(Math.max(...stats.gcSeconds.sums)).toBeGreaterThan(0);
  });

  it('counts none after close', async () => {
    stats = new ProcessStats();
    const other = new ProcessStats();
    stats.close();
    collectGarbage();
    await vi.waitFor(() => expect(other.gcSeconds.total()).toBeGreaterThan(0), WAIT);
    expect(stats.gcSeconds.total()).toBe(0);
    other.close();
  });

  it('shows a blocked event loop for a minute, to any number of readers', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    stats = new ProcessStats();
    let turn = 0;
    await vi.waitFor(() => {
      turn += 1;
      // The first sample after a reading is not counted: block one turn, read in the next.
      if (turn % 2 === 1) block(60);
      expect(turn % 2).toBe(0);
      expect(stats.eventLoopLag().max).toBeGreaterThan(0.04);
    }, WAIT);
    const seen = stats.eventLoopLag();
    expect(stats.eventLoopLag()).toEqual(seen);
    vi.advanceTimersByTime(60_000);
    expect(stats.eventLoopLag().max).toBe(seen.max);
    vi.advanceTimersByTime(10_000);
    expect(stats.eventLoopLag().max).toBeLessThan(0.04);
  });

  it.runIf(process.platform === 'linux')('reads the number of descriptors from Linux', () => {
    expect(openFds()).toBeGreaterThan(2);
    expect(maxFds()).toBeGreaterThan(openFds());
  });

  it('returns NaN if the system gives no value', () => {
    const rss = vi.spyOn(process.memoryUsage, 'rss').mockImplementation(() => {
      throw Object.assign(new Error('EMFILE'), { code: 'EMFILE' });
    });
    onTestFinished(() => rss.mockRestore());
    expect(residentBytes()).toBeNaN();
    expect(memoryUsage()).toMatchObject({ rss: Number.NaN, heapUsed: expect.any(Number) });
  });
});
