import fc from 'fast-check';
import { expect, it } from 'vitest';
import { quantile, Window } from '../../src/http/quantile.js';

const BOUNDS = [0.001, 0.01, 0.1, 1, Number.POSITIVE_INFINITY];

it('lies in the bucket of the true quantile', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 1e-6, max: 10, noNaN: true }), { minLength: 1, maxLength: 200 }),
      fc.constantFrom(0.5, 0.9, 0.99, 0.999),
      (values, q) => {
        const counts = new Float64Array(BOUNDS.length);
        for (const value of values) counts[BOUNDS.findIndex((bound) => value <= bound)]! += 1;
        const sorted = values.toSorted((a, b) => a - b);
        const exact = sorted[Math.max(0, Math.ceil(q * values.length) - 1)]!;
        const bucket = BOUNDS.findIndex((bound) => exact <= bound);
        const found = quantile(q, BOUNDS, counts)!;
        expect(found).toBeGreaterThanOrEqual(bucket === 0 ? 0 : BOUNDS[bucket - 1]!);
        expect(found).toBeLessThanOrEqual(Math.min(1, BOUNDS[bucket]!) * (1 + 1e-12));
      },
    ),
  );
});

it('equals that of Prometheus', () => {
  // histogram_quantile(0.9, …) of these buckets: 0.01 + 0.09 * (90 - 50) / 50.
  expect(quantile(0.9, BOUNDS, [0, 50, 50, 0, 0])).toBeCloseTo(0.082, 10);
  expect(quantile(0.99, BOUNDS, [0, 0, 0, 0, 7])).toBe(1);
});

it('is null without observations', () => {
  expect(quantile(0.5, BOUNDS, [0, 0, 0, 0, 0])).toBeNull();
});

it('has a window of its own for each reader', () => {
  const [a, b] = [new Window(2), new Window(2)];
  expect([...a.since([1, 2])]).toEqual([1, 2]);
  expect([...a.since([4, 2])]).toEqual([3, 0]);
  expect([...b.since([4, 2])]).toEqual([4, 2]);
});
