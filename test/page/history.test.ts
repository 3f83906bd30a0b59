import fc from 'fast-check';
import { expect, it } from 'vitest';
import { History } from '../../src/page/history.js';

const SERIES = ['members', 'healthyP99'] as const;

it('stores values in columns, oldest first', () => {
  const history = new History();
  history.add(1000, SERIES, [1, 0.1]);
  history.add(2000, SERIES, [2, null]);
  expect(history.at).toEqual([1, 2]);
  expect(history.column('members')).toEqual([1, 2]);
  expect(history.column('healthyP99')).toEqual([0.1, null]);
  expect(history.last('members')).toBe(2);
  expect(history.last('rooms')).toBeNull();
  expect(history.column('rooms')).toEqual([null, null]);
});

it('returns the worst value of the last minute only', () => {
  const history = new History();
  expect(history.worst('members')).toBeNull();
  for (let second = 1; second <= 100; second += 1) {
    const value = { 40: 99, 41: 7, 70: 5 }[second] ?? 1;
    history.add(second * 1000, SERIES, [value, null]);
  }
  expect(history.worst('members')).toBe(7);
  expect(history.worst('healthyP99')).toBeNull();
  history.add(101_000, SERIES, [0, 0.2]);
  expect(history.worst('members')).toBe(5);
  expect(history.worst('healthyP99')).toBe(0.2);
});

it('ignores known samples, which a server sends again after a reconnect', () => {
  const history = new History();
  for (const at of [1000, 2000, 1000, 2000, 3000]) history.add(at, SERIES, [at, 0]);
  expect(history.at).toEqual([1, 2, 3]);
});

it('has a hole where no data arrived', () => {
  const history = new History();
  history.add(1000, SERIES, [1, 1]);
  history.add(60_000, SERIES, [2, 2]);
  expect(history.at).toEqual([1, 2, 60]);
  expect(history.column('members')).toEqual([1, null, 2]);
});

it('accepts a series that appears later', () => {
  const history = new History();
  history.add(1000, ['members'], [1]);
  history.add(2000, ['members', 'wait room.members'], [2, 3]);
  expect(history.column('wait room.members')).toEqual([null, 3]);
});

it('holds 15 minutes at most, in columns of one length', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 400_000 }), { maxLength: 3000 }), (steps) => {
      const history = new History();
      let at = 0;
      for (const step of steps) {
        at += step;
        history.add(at, SERIES, [at, null]);
      }
      expect(history.at.length).toBeLessThanOrEqual(900);
      for (const series of SERIES) expect(history.column(series)).toHaveLength(history.at.length);
      expect(history.at).toEqual(history.at.toSorted((a, b) => a - b));
      if (steps.length > 0) expect(history.at[0]).toBeGreaterThanOrEqual(at / 1000 - 900);
      expect(history.end).toBe(at / 1000);
    }),
    { numRuns: 50 },
  );
});
