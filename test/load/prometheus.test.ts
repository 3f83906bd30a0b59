import { expect, test } from 'vitest';
import { quantileBetween, Scrape } from '../../src/load/prometheus.js';

const TEXT = `# HELP a_total Things.
# TYPE a_total counter
a_total{reason="x"} 3
a_total{reason="y \\"q\\" {z}"} 4 1700000000
up 1
lag NaN
hold_seconds_bucket{lock="m",le="0.001"} 10
hold_seconds_bucket{lock="m",le="0.01"} 20
hold_seconds_bucket{lock="m",le="+Inf"} 20
hold_seconds_bucket{lock="l",le="0.001"} 0
hold_seconds_bucket{lock="l",le="0.01"} 0
hold_seconds_bucket{lock="l",le="+Inf"} 5
`;

test('sums include all series of a name', () => {
  const scrape = new Scrape(TEXT);
  expect(scrape.sum('a_total')).toBe(7);
  expect(scrape.sum('up')).toBe(1);
  expect(scrape.sum('nothing')).toBeNull();
  expect(scrape.sum('lag')).toBeNull();
  expect(scrape.sum('a_total', /reason="x"/)).toBe(3);
  expect(scrape.sum('a_total', /reason="none"/)).toBe(0);
});

test('buckets are summed over all series, or over those with a label', () => {
  const scrape = new Scrape(TEXT);
  const infinity = Number.POSITIVE_INFINITY;
  expect(scrape.buckets('hold_seconds')).toEqual([
    [0.001, 10],
    [0.01, 20],
    [infinity, 25],
  ]);
  expect(scrape.buckets('hold_seconds', 'lock="m"')?.at(-1)).toEqual([infinity, 20]);
  expect(scrape.buckets('nothing')).toBeNull();
});

test('a quantile is of the observations between two scrapes', () => {
  const before = new Scrape(TEXT).buckets('hold_seconds', 'lock="m"');
  const after = [
    [0.001, 10],
    [0.01, 120],
    [Number.POSITIVE_INFINITY, 120],
  ] as const;
  expect(quantileBetween(before, after, 0.5)).toBeCloseTo(0.001 + 0.009 * 0.5, 6);
  expect(quantileBetween(before, before, 0.5)).toBeNull();
  expect(quantileBetween(null, null, 0.5)).toBeNull();
  const beyond = [
    [0.001, 0],
    [Number.POSITIVE_INFINITY, 5],
  ] as const;
  expect(quantileBetween(null, beyond, 0.99)).toBe(0.001);
});
