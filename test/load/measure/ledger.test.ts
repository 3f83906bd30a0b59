import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Faults, Ledger, noFaults } from '../../../src/load/measure/ledger.js';

const PUBLISHERS = 3;

/** A room's messages in the server's order: their publisher, and its own number. */
function published(places: readonly number[]): { place: number; number: number; seq: number }[] {
  const counts = new Array<number>(PUBLISHERS).fill(0);
  return places.map((place, i) => ({ place, number: counts[place]!++, seq: i + 1 }));
}

const places = fc.array(fc.nat(PUBLISHERS - 1), { minLength: 1, maxLength: 60 });
/** Whether each message is dropped. */
const fates = fc.array(fc.boolean(), { minLength: 60, maxLength: 60 });

function total(faults: Faults): number {
  return Object.values(faults).reduce((sum, n) => sum + n, 0);
}

test('a server that announces every loss exactly has no fault, and nothing is owed', () => {
  fc.assert(
    fc.property(places, fates, (sequence, dropped) => {
      const faults = noFaults();
      const ledger = new Ledger(true, 1, PUBLISHERS, faults);
      ledger.joined(0, 0, true);
      const messages = published(sequence);
      let announced = 0;
      let from = 0;
      for (const { place, number, seq } of messages) {
        if (dropped[seq - 1]) {
          from ||= seq;
          continue;
        }
        if (from > 0) announced += ledger.gap(0, from, seq - 1);
        from = 0;
        ledger.message(0, place, number, seq);
      }
      if (from > 0) announced += ledger.gap(0, from, messages.length);
      expect(total(faults)).toBe(0);
      expect(announced).toBe(messages.filter((_, i) => dropped[i]).length);
      expect(ledger.owed([messages.length], true)).toBe(0);
    }),
  );
});

test('without gaps, every dropped message is either a fault or still owed', () => {
  for (const numbered of [true, false]) {
    fc.assert(
      fc.property(places, fates, (sequence, dropped) => {
        const faults = noFaults();
        const ledger = new Ledger(numbered, 1, PUBLISHERS, faults);
        ledger.joined(0, numbered ? 0 : -1, true);
        const messages = published(sequence);
        const lost = messages.filter(({ seq }) => dropped[seq - 1]);
        for (const { place, number, seq } of messages) {
          if (!dropped[seq - 1]) ledger.message(0, place, number, numbered ? seq : -1);
        }
        const sent = messages.reduce((counts, { place }) => {
          counts[place]!++;
          return counts;
        }, new Array<number>(PUBLISHERS).fill(0));
        const owed = ledger.owed(numbered ? [messages.length] : sent, true);
        expect(faults.unannounced + owed).toBe(lost.length);
        expect(faults.duplicated + faults.reordered).toBe(0);
      }),
    );
  }
});

test('a message that arrives twice, or late, is counted as such', () => {
  for (const numbered of [true, false]) {
    const faults = noFaults();
    const ledger = new Ledger(numbered, 1, 1, faults);
    ledger.joined(0, 0, true);
    const come = (number: number): void => ledger.message(0, 0, number, numbered ? number + 1 : -1);
    come(0);
    come(0);
    expect(faults).toEqual({ ...noFaults(), duplicated: 1 });
    come(2);
    expect(faults.unannounced).toBe(1);
    come(1);
    expect(faults).toEqual({ ...noFaults(), duplicated: 1, reordered: 1 });
  }
});

test('a publisher’s messages numbered in the wrong order are out of order', () => {
  const faults = noFaults();
  const ledger = new Ledger(true, 1, 1, faults);
  ledger.joined(0, 0, true);
  ledger.message(0, 0, 1, 1);
  ledger.message(0, 0, 0, 2);
  expect(faults).toEqual({ ...noFaults(), reordered: 1 });
});

test('a gap that does not name exactly what is missing is a fault', () => {
  const wrong: [number, number][] = [
    [7, 9],
    [4, 9],
    [6, 5],
  ];
  for (const [from, to] of wrong) {
    const faults = noFaults();
    const ledger = new Ledger(true, 1, 1, faults);
    ledger.joined(0, 5, true);
    ledger.gap(0, from, to);
    expect(faults.wrongGaps).toBe(1);
  }
});

test('a member that joins later is owed only later messages', () => {
  const faults = noFaults();
  const numbered = new Ledger(true, 1, 1, faults);
  numbered.joined(0, 40, false);
  numbered.message(0, 0, 17, 41);
  expect(numbered.owed([43], true)).toBe(2);

  const plain = new Ledger(false, 1, 1, faults);
  plain.joined(0, -1, false);
  plain.message(0, 0, 17, -1);
  expect(plain.owed([20], true)).toBe(2);
  expect(total(faults)).toBe(0);
});

test('a member that received nothing of a publisher is owed its last message, if it joined in time', () => {
  const ledger = new Ledger(false, 1, 3, noFaults());
  ledger.joined(0, -1, false);
  ledger.message(0, 1, 4, -1);
  // Nothing of the first publisher has arrived, all but two of the second; the third has sent nothing.
  expect(ledger.owed([9, 7, 0], true)).toBe(1 + 2);
  expect(ledger.owed([9, 7, 0], false)).toBe(2);
});

test('a gap that names more than was published is wrong', () => {
  const ended = (to: number) => {
    const faults = noFaults();
    const ledger = new Ledger(true, 2, 1, faults);
    ledger.joined(0, 0, true);
    ledger.joined(1, 0, true);
    ledger.message(1, 0, 0, 1);
    ledger.gap(1, 2, to);
    expect(ledger.owed([0, 5], true)).toBe(0);
    ledger.end([0, 5]);
    return faults.wrongGaps;
  };
  expect(ended(5)).toBe(0);
  expect(ended(6)).toBe(1);
});

test('a gap of an earlier numbering is none of the later one', () => {
  const faults = noFaults();
  const ledger = new Ledger(true, 1, 1, faults);
  ledger.joined(0, 0, true);
  ledger.gap(0, 1, 90);
  ledger.joined(0, 2, false);
  ledger.end([3]);
  expect(faults.wrongGaps).toBe(0);
});

test('rooms are accounted separately', () => {
  const faults = noFaults();
  const ledger = new Ledger(true, 2, 1, faults);
  ledger.joined(0, 0, true);
  ledger.joined(1, 10, true);
  ledger.message(0, 0, 0, 1);
  ledger.message(1, 0, 0, 11);
  expect(ledger.owed([2, 13], true)).toBe(3);
  expect(total(faults)).toBe(0);
});

test('the next expected numbers are those of the publishers of the room', () => {
  const ledger = new Ledger(true, 2, 2, noFaults());
  ledger.joined(0, 0, true);
  ledger.joined(1, 0, true);
  ledger.message(1, 1, 0, 1);
  expect([...ledger.nextOf(0)]).toEqual([0, 0]);
  expect([...ledger.nextOf(1)]).toEqual([0, 1]);
});
