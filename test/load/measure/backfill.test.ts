/** From gaps, backfill requests and answers to the counts of the report. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Backfill, noBackfill, type Range } from '../../../src/load/measure/backfill.js';
import { Latency } from '../../../src/load/measure/latency.js';

const ROOM = 0;

/** A connection to a room with one publisher, whose own numbers are the room's minus one. */
function setUp() {
  const counters = noBackfill();
  const latency = new Latency();
  const backfill = new Backfill(counters, latency);
  return {
    counters,
    latency,
    backfill,
    /** A gap, and the message after it. */
    gap(from: number, to: number): void {
      backfill.gap(ROOM, from, to, Float64Array.of(from - 1));
      backfill.live(ROOM, 0, to);
    },
    past: (...seqs: number[]) => {
      for (const seq of seqs) backfill.message(ROOM, seq, 0, seq - 1);
    },
    answered: (to: number, ...missing: Range[]) => backfill.answered(ROOM, to, missing, 5000),
  };
}

test('the range of a gap is requested, and has arrived when it is answered', () => {
  const { backfill, counters, latency, gap, past, answered } = setUp();
  expect(backfill.ask(1000)).toBeUndefined();
  gap(3, 6);
  expect(backfill.isOwed).toBe(true);
  expect(backfill.ask(1000)).toMatchObject({ slot: ROOM, from: 3, to: 6 });
  past(3, 4, 5, 6);
  answered(6);
  expect(backfill.isOwed).toBe(false);
  expect(counters).toEqual({ ...noBackfill(), came: 4 });
  expect(latency.quantiles()).toMatchObject({ count: 1, max: 4001 });
});

test('one request is under way at a time, in the order of the gaps', () => {
  const { backfill, gap, past, answered } = setUp();
  gap(3, 4);
  gap(8, 9);
  expect(backfill.ask(1)).toMatchObject({ from: 3 });
  expect(backfill.ask(2)).toBeUndefined();
  past(3, 4);
  answered(4);
  expect(backfill.ask(3)).toMatchObject({ from: 8, to: 9 });
});

test('a truncated answer is continued from there, and counts as one', () => {
  const { backfill, counters, latency, gap, past, answered } = setUp();
  gap(3, 9);
  backfill.ask(1000);
  past(4, 5);
  answered(5, [3, 3]);
  expect(backfill.ask(2000)).toMatchObject({ from: 6, to: 9 });
  past(6, 7);
  answered(7);
  expect(backfill.ask(3000)).toMatchObject({ from: 8, to: 9 });
  answered(9, [8, 9]);
  expect(counters).toEqual({ ...noBackfill(), came: 4, expired: 3 });
  expect(latency.quantiles()).toMatchObject({ count: 1, max: 4001 });
});

test('a refused request is repeated', () => {
  const { backfill, gap } = setUp();
  gap(3, 9);
  backfill.ask(1);
  backfill.refused();
  expect(backfill.ask(2)).toMatchObject({ from: 3, to: 9 });
});

test('requests unanswered when the drain ends, and requests that end with their connection, are counted separately', () => {
  const late = setUp();
  late.gap(3, 9);
  late.gap(11, 12);
  late.backfill.ask(1);
  late.past(3, 5);
  late.backfill.end();
  late.backfill.cut();
  expect(late.counters).toEqual({ ...noBackfill(), came: 2, unanswered: 7 });

  const gone = setUp();
  gone.gap(3, 9);
  gone.gap(11, 12);
  gone.backfill.ask(1);
  gone.backfill.cut();
  expect(gone.counters).toEqual({ ...noBackfill(), cutOff: 2 });
  expect(gone.backfill.isOwed).toBe(false);
});

type Case = ReturnType<typeof setUp>;

test.each<[string, (given: Case) => void, Partial<ReturnType<typeof noBackfill>>]>([
  [
    'left out in the middle',
    ({ past, answered }) => {
      past(3, 5, 6);
      answered(6);
    },
    { came: 3, lost: 1 },
  ],
  [
    'left out at the end',
    ({ past, answered }) => {
      past(3, 4);
      answered(6);
    },
    { came: 2, lost: 2 },
  ],
  ['left out at all', ({ answered }) => answered(6), { lost: 4 }],
  [
    'answered by nothing, for ever',
    ({ past, answered }) => {
      past(3);
      answered(3);
      answered(3);
    },
    // The second answer was not requested.
    { came: 1, wrong: 1 },
  ],
  [
    'sent twice',
    ({ past, answered }) => {
      past(3, 4, 4, 5, 6);
      answered(6);
    },
    { came: 4, wrong: 1 },
  ],
  [
    'sent out of order',
    ({ past, answered }) => {
      past(3, 5, 4, 6);
      answered(6);
    },
    { came: 3, lost: 1, wrong: 1 },
  ],
  [
    'more than was asked for',
    ({ past, answered }) => {
      past(3, 4, 5, 6, 7);
      answered(7);
    },
    { came: 4, wrong: 1 },
  ],
  [
    'named as not kept, and sent',
    ({ past, answered }) => {
      past(3, 4, 5, 6);
      answered(6, [4, 5]);
    },
    { came: 4, wrong: 2 },
  ],
  [
    'named as not kept twice',
    ({ past, answered }) => {
      past(6);
      answered(6, [3, 5], [3, 5]);
    },
    { came: 1, expired: 3, wrong: 3 },
  ],
  [
    'of another room',
    ({ backfill, past, answered }) => {
      backfill.message(1, 3, 0, 2);
      past(3, 4, 5, 6);
      answered(6);
    },
    { came: 4, wrong: 1 },
  ],
  [
    'of before the gap, with its numbers',
    ({ backfill, answered }) => {
      for (const seq of [3, 4, 5, 6]) backfill.message(ROOM, seq, 0, seq - 3);
      answered(6);
    },
    { came: 4, wrong: 2 },
  ],
  [
    'of after the gap, with its numbers',
    ({ backfill, answered }) => {
      for (const seq of [3, 4, 5, 6]) backfill.message(ROOM, seq, 0, seq + 1);
      answered(6);
    },
    { came: 4, wrong: 2 },
  ],
])('%s is counted as that', (_, act, expected) => {
  const given = setUp();
  given.gap(3, 6);
  given.backfill.ask(1000);
  act(given);
  expect(given.counters).toEqual({ ...noBackfill(), ...expected });
});

test('a message that was not requested is wrong', () => {
  const { counters, past, answered } = setUp();
  past(3);
  answered(3);
  expect(counters).toEqual({ ...noBackfill(), wrong: 2 });
});

test('a server that sends all it keeps, truncated anywhere, is never wrong and always finishes', () => {
  const gaps = fc
    .array(fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 20 })), {
      minLength: 1,
      maxLength: 6,
    })
    .map((steps) => {
      let at = 1;
      return steps.map(([live, missed]): Range => {
        const from = at + live;
        at = from + missed;
        return [from, at - 1];
      });
    });
  fc.assert(
    fc.property(
      gaps,
      fc.func(fc.boolean()),
      fc.integer({ min: 1, max: 7 }),
      (ranges, kept, limit) => {
        const { backfill, counters, gap, past, answered } = setUp();
        for (const [from, to] of ranges) gap(from, to);
        let asked = 0;
        for (let turn = 0; turn < 1000; turn++) {
          const wanted = backfill.ask(turn + 1);
          if (!wanted) break;
          const { from, to } = wanted;
          const missing: Range[] = [];
          let [seq, given] = [from, 0];
          for (; seq <= to && given < limit; seq++) {
            asked++;
            if (!kept(seq)) missing.push([seq, seq]);
            else {
              past(seq);
              given++;
            }
          }
          answered(seq - 1, ...missing);
        }
        expect(backfill.isOwed).toBe(false);
        expect(counters.came + counters.expired).toBe(asked);
        expect(asked).toBe(ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0));
        expect(counters).toMatchObject({ lost: 0, wrong: 0, unanswered: 0, cutOff: 0 });
      },
    ),
  );
});
