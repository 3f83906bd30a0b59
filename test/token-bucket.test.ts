import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { TokenBucket } from '../src/token-bucket.js';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const take = (bucket: TokenBucket, times: number) =>
  Array.from({ length: times }, () => bucket.take()).filter((taken) => taken).length;

describe('TokenBucket', () => {
  it('allows a burst of one second, and refills', () => {
    const bucket = new TokenBucket(10);
    expect(take(bucket, 20)).toBe(10);
    vi.advanceTimersByTime(100);
    expect(take(bucket, 20)).toBe(1);
    vi.advanceTimersByTime(60_000);
    expect(take(bucket, 20)).toBe(10);
  });

  it('allows everything with a rate of 0', () => {
    expect(take(new TokenBucket(0), 100_000)).toBe(100_000);
  });

  it('never allows more than its rate and one burst', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1000 }),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 3000 }), fc.nat(200)), { maxLength: 30 }),
        (rate, steps) => {
          const bucket = new TokenBucket(rate);
          const started = performance.now();
          let taken = 0;
          for (const [ms, times] of steps) {
            vi.advanceTimersByTime(ms);
            taken += take(bucket, times);
            const seconds = (performance.now() - started) / 1000;
            expect(taken).toBeLessThanOrEqual(rate * (seconds + 1) + 1e-6);
          }
        },
      ),
    );
  });
});
