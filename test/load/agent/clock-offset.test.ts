import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Exchange, errorBetween, offsetOf } from '../../../src/load/agent/clock-offset.js';

/** Whole µs, so that sums are exact. */
const delay = fc.integer({ min: 0, max: 1_000_000 });
const offset = fc.integer({ min: -1e12, max: 1e12 });
const exchange = (truth: number, at: number, there: number, back: number): Exchange => ({
  sent: at,
  there: at + there + truth,
  received: at + there + back,
});

test('the true offset is within the error, however unequal the two directions', () => {
  fc.assert(
    fc.property(
      offset,
      fc.array(fc.tuple(delay, delay, delay), { minLength: 1, maxLength: 30 }),
      (truth, ways) => {
        const measured = offsetOf(ways.map((way) => exchange(truth, ...way)));
        expect(Math.abs(measured.offset - truth)).toBeLessThanOrEqual(measured.error);
        const soonest = Math.min(...ways.map(([, there, back]) => there + back));
        expect(measured.error).toBe(soonest / 2);
      },
    ),
  );
});

test('the offset of a drifting clock is within the error between two measurements, at any time', () => {
  fc.assert(
    fc.property(
      offset,
      fc.integer({ min: -10_000, max: 10_000 }),
      fc.tuple(delay, delay, delay, delay),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (truth, drift, [a, b, c, d], when) => {
        const used = offsetOf([exchange(truth, 0, a, b)]);
        const after = offsetOf([exchange(truth + drift, 0, c, d)]);
        const wrong = Math.abs(truth + drift * when - used.offset);
        expect(wrong).toBeLessThanOrEqual(errorBetween(used, after) + 1e-3);
      },
    ),
  );
});
