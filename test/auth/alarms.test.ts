/** Calls at wall-clock times: within the second of V16, in slices, whatever the clock does. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Alarms } from '../../src/auth/alarms.js';
import { onSurvived } from '../../src/survived.js';
import { PlannedError } from '../support/planned-error.js';

let alarms: Alarms;

beforeEach(() => {
  vi.useFakeTimers();
  alarms = new Alarms();
});

afterEach(() => {
  alarms.close();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

describe('an alarm', () => {
  it.each([1, 499, 500, 999, 1000, 1001, 59_999])(
    'of %d ms rings then, never earlier and at most a second later',
    (ms) => {
      const start = Date.now();
      const rang: number[] = [];
      alarms.set(start + ms, () => rang.push(Date.now() - start));
      vi.advanceTimersByTime(ms - 1);
      expect(rang).toEqual([]);
      vi.advanceTimersByTime(1001);
      expect(rang).toHaveLength(1);
      expect(rang[0]).toBeGreaterThanOrEqual(ms);
      expect(rang[0]).toBeLessThanOrEqual(ms + 1000);
      vi.advanceTimersByTime(60_000);
      expect(rang).toHaveLength(1);
    },
  );

  it('does not ring after a cancel', () => {
    const ring = vi.fn();
    const alarm = alarms.set(Date.now() + 1000, ring);
    alarm.cancel();
    alarm.cancel();
    vi.advanceTimersByTime(5000);
    expect(ring).not.toHaveBeenCalled();
  });

  it('may set and cancel others when it rings', () => {
    const at = Date.now() + 1000;
    const rang: string[] = [];
    alarms.set(at, () => {
      rang.push('first');
      second.cancel();
      alarms.set(at, () => rang.push('third'));
    });
    const second = alarms.set(at, () => rang.push('second'));
    vi.advanceTimersByTime(2000);
    expect(rang).toEqual(['first', 'third']);
  });

  it.each([Date.UTC(2100, 0), Number.MAX_VALUE])('may be as far ahead as %d', (at) => {
    const ring = vi.fn();
    alarms.set(at, ring);
    vi.advanceTimersByTime(86_400_000);
    expect(ring).not.toHaveBeenCalled();
  });
});

describe('a system clock that is set', () => {
  it('forward by years rings all that are due, at the next check', () => {
    const ring = vi.fn();
    alarms.set(Date.now() + 3_600_000, ring);
    vi.setSystemTime(Date.now() + 10 * 365 * 86_400_000);
    vi.advanceTimersByTime(500);
    expect(ring).toHaveBeenCalledOnce();
  });

  it('back moves them with it', () => {
    const ring = vi.fn();
    const at = Date.now() + 10_000;
    alarms.set(at, ring);
    vi.setSystemTime(Date.now() - 60_000);
    vi.advanceTimersByTime(30_000);
    expect(ring).not.toHaveBeenCalled();
    vi.advanceTimersByTime(41_000);
    expect(ring).toHaveBeenCalledOnce();
  });
});

it('an error of one affects no other, in that slice, the next or later', () => {
  const told: unknown[] = [];
  const ends = onSurvived((error) => void told.push(error));
  let now = performance.now();
  vi.spyOn(performance, 'now').mockImplementation(() => now);
  const rang: string[] = [];
  const set = (name: string, takesMs: number) =>
    alarms.set(Date.now() + 1000, () => {
      rang.push(name);
      now += takesMs;
      throw new PlannedError(name);
    });
  for (const name of ['a', 'b']) set(name, 0);
  // Each of these is a slice.
  for (const name of ['c', 'd', 'e']) set(name, 6);
  // The next check is at 1500.
  vi.advanceTimersByTime(1400);
  expect(rang).toEqual(['a', 'b', 'c', 'd', 'e']);
  set('f', 0);
  vi.advanceTimersByTime(1500);
  ends();
  vi.restoreAllMocks();
  expect(rang.at(-1)).toBe('f');
  expect(told).toEqual(rang.map((name) => new PlannedError(name)));
});

it('many at once ring in slices, between which the event loop continues', () => {
  const at = Date.now() + 100;
  const order: string[] = [];
  for (let n = 0; n < 100; n += 1) {
    alarms.set(at, () => {
      order.push('ring');
      // Each call takes a millisecond.
      vi.setSystemTime(Date.now() + 1);
      now += 1;
    });
  }
  let now = performance.now();
  vi.spyOn(performance, 'now').mockImplementation(() => now);
  vi.advanceTimersByTime(500);
  expect(order.length).toBeLessThan(100);
  const first = order.length;
  setImmediate(() => order.push('other'));
  vi.runAllTicks();
  vi.advanceTimersByTime(1);
  expect(order.indexOf('other')).toBeGreaterThanOrEqual(first);
  vi.advanceTimersByTime(1000);
  expect(order.filter((each) => each === 'ring')).toHaveLength(100);
  vi.restoreAllMocks();
});
