import { expect, it } from 'vitest';
import { ago, decades, marksOf, spanOf } from '../../src/page/axes.js';

const WIDE = 800;

it.each([
  [[1000], 880, 120],
  [[950, 1000], 880, 120],
  [[800, 1000], 700, 300],
  [[100, 1000], 100, 900],
])('shows for %j a window from %d of %d seconds', (at, start, seconds) => {
  expect(spanOf(at, WIDE)).toMatchObject({ start, seconds });
});

it('has fewer marks on a narrow plot; the last one is now', () => {
  const at = [100, 1000];
  expect(marksOf(spanOf(at, WIDE))).toEqual([100, 280, 460, 640, 820, 1000]);
  expect(marksOf(spanOf(at, 300))).toEqual([100, 400, 700, 1000]);
});

it('formats times ago', () => {
  expect([900, 90, 30, 0].map(ago)).toEqual(['−15 min', '−1.5 min', '−30 s', 'now']);
});

it('marks decades', () => {
  expect(decades([1e-4, 1])).toEqual(
    [1e-4, 1e-3, 1e-2, 1e-1, 1].map((value) => expect.closeTo(value)),
  );
  expect(decades([1e-4, 10])).toHaveLength(6);
  expect(decades([1e-6, 1])).toHaveLength(4);
});
