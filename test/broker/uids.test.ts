import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { UID_MS } from '../../src/broker/broker.js';
import { Uids } from '../../src/broker/uids.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const at = (seq: number) => ({ seq, epoch: 'e' });

it('remembers each uid for UID_MS and no longer', () => {
  const uids = new Uids();
  uids.add('a', 'u', at(1));
  vi.advanceTimersByTime(UID_MS);
  expect(uids.find('a', 'u')).toEqual(at(1));
  vi.advanceTimersByTime(1);
  expect(uids.find('a', 'u')).toBeUndefined();
});

it('keeps the uids of two rooms apart', () => {
  const uids = new Uids();
  uids.add('a', 'bu', at(1));
  expect(uids.find('ab', 'u')).toBeUndefined();
  expect(uids.find('a', 'bu')).toEqual(at(1));
});

it('keeps 100,000, and forgets the oldest for the next one (V3)', () => {
  const uids = new Uids();
  for (let n = 1; n <= 100_001; n += 1) uids.add('a', `${n}`, at(n));
  expect(uids.find('a', '1')).toBeUndefined();
  expect(uids.find('a', '2')).toEqual(at(2));
});
