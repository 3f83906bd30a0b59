import { getHeapSpaceStatistics } from 'node:v8';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Line, type Queued } from '../src/line.js';
import { collectYoung } from './support/heap.js';

class One implements Queued<One> {
  line: unknown = null;
  before: One | null = null;
  after: One | null = null;

  constructor(readonly n: number) {}
}

/** From both ends. */
function standing(line: Line<One>): number[] {
  const found: number[] = [];
  let last: One | null = null;
  for (let one = line.first; one !== null; one = one.after) {
    expect(one.before).toBe(last);
    found.push(one.n);
    last = one;
  }
  expect(line.size).toBe(found.length);
  return found;
}

test('behaves like a Set', () => {
  const steps = fc.array(fc.tuple(fc.constantFrom('add', 'add', 'delete', 'clear'), fc.nat(5)));
  fc.assert(
    fc.property(steps, (all) => {
      const ones = Array.from({ length: 6 }, (_, n) => new One(n));
      const line = new Line<One>();
      const set = new Set<number>();
      for (const [what, n] of all) {
        const one = ones[n] as One;
        if (what === 'add') {
          line.add(one);
          set.add(n);
        } else if (what === 'delete') {
          expect(line.delete(one)).toBe(set.delete(n));
        } else if (n === 0) {
          line.clear();
          set.clear();
        }
        expect(standing(line)).toEqual([...set]);
      }
    }),
  );
});

test('does not remove an item of another line', () => {
  const [one, other] = [new Line<One>(), new Line<One>()];
  const who = new One(1);
  one.add(who);
  expect(other.delete(who)).toBe(false);
  expect(standing(one)).toEqual([1]);
});

test('keeps nothing alive in the old generation, however many items pass through', () => {
  const line = new Line<One>();
  const ones = Array.from({ length: 200 }, (_, n) => new One(n));
  const oldBytes = () =>
    getHeapSpaceStatistics().find(({ space_name: name }) => name === 'old_space')?.space_used_size;
  const comeAndGo = () => {
    for (let turn = 0; turn < 2000; turn += 1) {
      for (let n = 0; n < 20; n += 1) line.add(ones[(turn * 7 + n * 11) % 200] as One);
      for (let one = line.first; one !== null; one = line.first) line.delete(one);
    }
  };
  comeAndGo();
  collectYoung();
  collectYoung();
  const before = oldBytes() as number;
  for (let round = 0; round < 20; round += 1) {
    comeAndGo();
    collectYoung();
  }
  // A `Set` keeps 4 MB and more.
  expect((oldBytes() as number) - before).toBeLessThan(1_500_000);
});
