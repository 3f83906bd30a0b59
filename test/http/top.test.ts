import fc from 'fast-check';
import { expect, it } from 'vitest';
import { top } from '../../src/http/top.js';

it('equals the beginning of a stable sort', () => {
  const item = fc.record({ rank: fc.integer({ min: -3, max: 3 }) });
  fc.assert(
    fc.property(fc.array(item), fc.integer({ min: 1, max: 12 }), (items, limit) => {
      const sorted = [...items].sort((a, b) => b.rank - a.rank);
      const first = top(items, ({ rank }) => rank, limit);
      expect(first.length).toBe(Math.min(limit, items.length));
      for (const [i, each] of first.entries()) expect(each).toBe(sorted[i]);
    }),
  );
});

it('returns 20 items by default', () => {
  expect(top(Array(50).keys(), (n) => n)).toEqual(Array.from({ length: 20 }, (_, i) => 49 - i));
});
