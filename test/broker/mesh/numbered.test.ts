/** `Numbers` compared with a Map, for entries that wait for any length of time. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Numbered, Numbers } from '../../../src/broker/mesh/numbered.js';

it('finds each entry by its number, once, and none by an old number', () => {
  fc.assert(
    fc.property(
      // Many entries are taken, some never.
      fc.array(fc.oneof(fc.constant('add' as const), fc.nat({ max: 400 })), { maxLength: 2000 }),
      (steps) => {
        const numbers = new Numbers<Numbered>();
        const model = new Map<number, Numbered>();
        let last = 0;
        for (const step of steps) {
          if (step === 'add') {
            for (let n = 0; n < 8; n += 1) {
              const one = { number: 0 };
              const number = numbers.add(one);
              expect(number).toBeGreaterThan(last);
              expect(one.number).toBe(number);
              model.set(number, one);
              last = number;
            }
          } else {
            const number = last - step;
            expect(numbers.take(number)).toBe(model.get(number) ?? null);
            model.delete(number);
          }
          expect(numbers.size).toBe(model.size);
        }
        const all = numbers.all();
        expect(new Set(all)).toEqual(new Set(model.values()));
        for (const { number } of all) expect(numbers.take(number)).toBe(model.get(number));
        expect(numbers.size).toBe(0);
      },
    ),
    { numRuns: 50 },
  );
});
