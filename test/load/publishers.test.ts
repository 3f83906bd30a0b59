/** When messages are sent, and their stamps: with a link that records publishes, and a clock that goes on
 * while the generator is blocked. */
import { expect, onTestFinished, test, vi } from 'vitest';
import { unreadRooms } from '../../src/load/assign.js';
import { machineMicros } from '../../src/load/clock.js';
import { Crew } from '../../src/load/crew.js';
import { resolvePlan, roomName, type Scenario } from '../../src/load/plan.js';
import { aside, Publishers } from '../../src/load/publishers.js';
import {
  dueOf,
  lateOf,
  numberOf,
  publisherOf,
  STAMP_LENGTH,
  Stamps,
} from '../../src/load/stamp.js';
import type { Link, Sink } from '../../src/load/targets/target.js';
import { FAKE_SPEC, fakeTarget, inertLink } from '../support/load-fakes.js';

interface Sent {
  readonly publisher: number;
  readonly number: number;
  readonly due: number;
  readonly late: number;
  readonly confirm: boolean;
}

/** Publishers of a run, the messages they sent, and their connections. */
async function setUp(scenario: Scenario, onPublish: (sent: Sent[]) => void = () => {}) {
  const sent: Sent[] = [];
  const sinks: Sink[] = [];
  const link = (sink: Sink): Link => ({
    ...inertLink,
    join: (room) => sink.joined(room, 0, '', false),
    publish(_room, data, confirm) {
      const at = data.length - STAMP_LENGTH;
      const [publisher, number] = [publisherOf(data, at), numberOf(data, at)];
      sent.push({ publisher, number, due: dueOf(data, at), late: lateOf(data, at), confirm });
      onPublish(sent);
    },
  });
  const target = fakeTarget({
    dial(sink) {
      queueMicrotask(() => sink.open());
      sinks.push(sink);
      return link(sink);
    },
  });
  const plan = resolvePlan(
    { members: '2', size: '64', warmup: '0', ...scenario },
    FAKE_SPEC,
    1,
    'abcd',
  );
  const crew = new Crew(plan, 0, machineMicros() - 5_000_000, new Stamps('abcd'), target, []);
  const publishers = new Publishers(crew);
  await publishers.connect(() => undefined);
  return { sent, publishers, crew, sinks };
}

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test('an open loop stamps messages with their due time, however long it was blocked', async () => {
  const HELD_MS = 60;
  const { sent, publishers, crew } = await setUp({ rate: '500/s', publishers: '2' }, (so) => {
    if (so.length !== 20) return;
    const until = performance.now() + HELD_MS;
    while (performance.now() < until);
  });
  const start = Math.ceil(crew.now());
  const end = start + 200_000;
  publishers.begin(start, end);
  await wait(250);
  publishers.stop();
  // 500 a second for 0.2 s, one every 2 ms, from each publisher in turn.
  expect(sent).toHaveLength(100);
  sent.forEach(({ due, publisher, number, confirm }, k) => {
    expect(due).toBe(start + k * 2000);
    expect([publisher, number]).toEqual([k % 2, Math.floor(k / 2)]);
    expect(confirm).toBe(false);
  });
  // Messages that came due while it was blocked were sent late, and their stamps say so.
  const writtenAt = ({ due, late }: Sent): number => due + late;
  const heldAt = writtenAt(sent[19]!);
  // A busy machine blocks it too, and then several are sent at the same moment.
  const later = sent.slice(20).filter((each) => writtenAt(each) > heldAt + 1);
  expect(later.length).toBeGreaterThan(0);
  for (const each of later) {
    expect(writtenAt(each) - heldAt).toBeGreaterThan((HELD_MS - 1) * 1000);
  }
  expect(publishers.counters).toMatchObject({ sent: 100, last: 0, blocked: 0 });
  publishers.close();
});

test('each of several messages sent in one turn is stamped when it is written itself', async () => {
  const TAKES_MS = 2;
  const { sent, publishers, crew } = await setUp({ rate: '100/s' }, () => {
    const until = performance.now() + TAKES_MS;
    while (performance.now() < until);
  });
  const start = Math.ceil(crew.now()) - 1_000_000;
  publishers.begin(start, start + 50_000);
  publishers.stop();
  expect(sent).toHaveLength(5);
  const written = sent.map(({ due, late }) => due + late);
  for (let i = 1; i < 5; i++) {
    // Stamps are of whole microseconds.
    expect(written[i]! - written[i - 1]!).toBeGreaterThan(TAKES_MS * 1000 - 2);
  }
  publishers.close();
});

test.each([
  [{ rate: '100/s' }, 5000],
  [{ rate: '2000/s' }, 250],
  [{ rate: '1/s' }, 50_000],
  [{ window: '1' }, 0],
])(
  'with %j, work that is no part of the load is done %i µs after the second',
  (scenario, expected) => {
    const plan = resolvePlan({ members: '2', size: '64', ...scenario }, FAKE_SPEC, 1, 'abcd');
    expect(aside(plan)).toBe(expected);
  },
);

test('in an open loop the rooms take turns, so that none waits for the publishers of the others', async () => {
  const { sent, publishers, crew } = await setUp({
    members: '3',
    rooms: '3',
    publishers: '2',
    rate: '100/s',
  });
  const start = Math.ceil(crew.now()) - 1_000_000;
  publishers.begin(start, start + 120_000);
  publishers.stop();
  expect(sent.map(({ due }) => due)).toEqual(sent.map((_, k) => start + k * 10_000));
  const inTurn = [0, 2, 4, 1, 3, 5];
  expect(sent.map(({ publisher }) => publisher)).toEqual([...inTurn, ...inTurn]);
  publishers.close();
});

test('a closed loop leaves out rooms whose members are all slow', async () => {
  const { sent, publishers, crew } = await setUp({
    members: '2',
    rooms: '2',
    window: '3',
    cohorts: ['stalled=1'],
  });
  const read = 1 - unreadRooms(crew.plan)[0]!;
  crew.readers([read], 1);
  publishers.begin(crew.now(), Number.POSITIVE_INFINITY);
  expect(sent.map(({ publisher }) => publisher)).toEqual([read, read, read]);
  // The room with readers gave up once, and the other one was not waited for.
  await vi.waitFor(() => expect(publishers.counters.stuck).toBe(1), {
    timeout: 5000,
    interval: 10,
  });
  publishers.stop();
  expect(new Set(sent.map(({ publisher }) => publisher))).toEqual(new Set([read]));
  publishers.close();
});

test('a closed loop that was blocked reads before it gives up', async () => {
  const { publishers, crew } = await setUp({ window: '3' });
  crew.readers([0], 1);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  publishers.begin(crew.now(), Number.POSITIVE_INFINITY);
  const now = crew.now.bind(crew);
  vi.spyOn(crew, 'now').mockImplementation(() => now() + 2_000_000);
  vi.advanceTimersByTime(750);
  expect(publishers.counters.stuck).toBe(0);
  vi.advanceTimersByTime(250);
  expect(publishers.counters.stuck).toBe(1);
  publishers.stop();
  publishers.close();
});

test('last messages are due when the phases are over, and are repeated until they are confirmed', async () => {
  const { sent, publishers, crew } = await setUp({ rate: '100/s', publishers: '3' });
  const start = Math.ceil(crew.now()) - 1_000_000;
  // The phases are over already: everything is sent at once, late.
  publishers.begin(start, start + 50_000);
  publishers.stop();
  expect(sent).toHaveLength(5);
  expect(publishers.sendLast()).toBe(3);
  const last = sent.slice(5);
  expect(last.map(({ due, confirm }) => ({ due, confirm }))).toEqual(
    last.map(() => ({ due: start + 50_000, confirm: true })),
  );
  // The stamps include when they were written: the wait for a repeated one begins then.
  for (const { late } of last) expect(late).toBeGreaterThan(900_000);
  expect(publishers.counters).toMatchObject({ sent: 8, last: 3 });
  expect(publishers.confirmed).toBe(0);
  publishers.close();
});

test('a number that came for another room is no answer', async () => {
  const { publishers, crew, sinks } = await setUp({ rate: '100/s', rooms: '2' });
  const [first, second] = [roomName(crew.plan, 0), roomName(crew.plan, 1)];
  publishers.begin(0, 0);
  publishers.stop();
  publishers.sendLast();
  for (const room of [second, 'load:abcd-0002']) sinks[0]!.confirmed(room, 7);
  expect([publishers.confirmed, [...crew.finals]]).toEqual([0, []]);
  sinks[0]!.confirmed(first, 7);
  expect([publishers.confirmed, [...crew.finals]]).toEqual([1, [[0, 7]]]);
  publishers.close();
});
