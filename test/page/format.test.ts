import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as format from '../../src/page/format.js';

it.each([
  [format.duration, 0, '0 ms'],
  [format.duration, 4e-7, '< 1 µs'],
  [format.duration, 0.000001, '1 µs'],
  [format.duration, 0.00042, '420 µs'],
  [format.duration, 0.0009999, '1 ms'],
  [format.duration, 0.00421, '4.21 ms'],
  [format.duration, 0.9999, '1 s'],
  [format.duration, 42, '42 s'],
  [format.duration, 100, '2 min'],
  [format.duration, 4 * 3600, '4 h'],
  [format.duration, 4 * 86_400, '4 d'],
  [format.bytes, 0, '0 B'],
  [format.bytes, 999, '999 B'],
  [format.bytes, 1000, '0.98 KiB'],
  [format.bytes, 1_048_576, '1 MiB'],
  [format.bytes, 268_435_456, '256 MiB'],
  [format.count, 0, '0'],
  [format.count, 4200, '4,200'],
  [format.count, 42_100, '42.1 k'],
  [format.count, 4_200_000, '4.2 M'],
  [format.rate, 0.25, '0.25/s'],
  [format.rate, 4200, '4,200/s'],
  [format.percent, 0.054, '5.4 %'],
  [format.percent, 1, '100 %'],
])('%o formats %d as %s', (of, value, text) => {
  expect(of(value)).toBe(text);
});

describe.each([
  ['duration', format.duration],
  ['bytes', format.bytes],
  ['count', format.count],
  ['rate', format.rate],
])('%s', (name, of) => {
  it('has at most four digits, and a unit', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 8e8, noNaN: true }), (value) => {
        const text = of(value);
        expect(text.replaceAll(/[^\d]/g, '').length).toBeLessThanOrEqual(4);
        if (name !== 'count') expect(text).toMatch(/[a-zµA-Z]/);
      }),
    );
  });
});

it('uses the plural except for 1', () => {
  expect([0, 1, 2].map((n) => format.plural(n, 'member'))).toEqual([
    '0 members',
    '1 member',
    '2 members',
  ]);
});

it('shows a dash without a value', () => {
  expect(format.orNone(null, format.count)).toBe('–');
  expect(format.orNone(0, format.count)).toBe('0');
});
