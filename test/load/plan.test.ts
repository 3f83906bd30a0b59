import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  cohortOfMembers,
  firstRoomOf,
  roomSlotOf,
  workerOfMember,
  workerOfRoom,
} from '../../src/load/assign.js';
import { type Plan, resolvePlan, type Scenario } from '../../src/load/plan.js';
import { FAKE_SPEC, targetSpec } from '../support/load-fakes.js';

const plan = (scenario: Scenario, workers = 1): Plan =>
  resolvePlan(scenario, FAKE_SPEC, workers, 'abcd');

test('by default, a plan has a calm phase of healthy members', () => {
  const { phases, cohorts, rate } = plan({});
  expect(phases.map(({ name }) => name)).toEqual(['warmup', 'calm']);
  expect(cohorts.map(({ name, members }) => [name, members])).toEqual([['healthy', 1000]]);
  expect(rate).toBe(100);
});

test('naming slow members adds phases in which they are slow', () => {
  const { phases, cohorts } = plan({ members: '50', cohorts: ['stalled=10%', 'late=3,after=1s'] });
  const turn = ['calm', 'fill', 'slow'];
  expect(phases.map(({ name }) => name)).toEqual([
    'warmup',
    ...[...turn, 'rest', ...turn, 'rest', ...turn],
  ]);
  expect(phases.map((phase) => phase.turn)).toEqual([0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3]);
  // Calm and slow are split into turns, fill is not.
  const length = (of: string): number =>
    phases.reduce((sum, { name, ms }) => (name === of ? sum + ms : sum), 0);
  expect([length('calm'), length('fill'), length('slow')]).toEqual([10_000, 15_000, 10_000]);
  expect(cohorts.map(({ name, members }) => [name, members])).toEqual([
    ['healthy', 42],
    ['stalled', 5],
    ['late', 3],
  ]);
  expect(cohorts[2]).toMatchObject({ kind: 'late', after: 1000 });
});

test('an echo server has one room per member, which publishes to itself', () => {
  const echo = resolvePlan({ members: '7' }, targetSpec('echo', 'ws://127.0.0.1:9'), 1, 'abcd');
  expect(echo).toMatchObject({ rooms: 7, publishFrom: 'members' });
});

test.each<[Scenario, string]>([
  [{ size: '1GiB' }, 'size is "1GiB": expected at most 67108864 bytes'],
  [{ size: '33' }, 'size is 33: expected at least 34 bytes'],
  [{ rate: '5/s', window: '3' }, 'either a rate (open loop) or a window'],
  [{ rooms: '20', members: '10' }, 'rooms is 20: expected at most as many as members (10)'],
  [{ calm: '0', warmup: '0' }, 'expected a phase longer than 0'],
  [{ cohorts: ['stalled=100%'] }, 'so that some stay healthy'],
  [{ cohorts: ['stalled=1', 'stalled=2'] }, 'add name=… to the second stalled'],
  [{ cohorts: ['stalled=0'], evictWithin: '5s' }, 'cohort stalled is "0": expected one member'],
  [{ cohorts: ['frozen=1'] }, 'expected <kind>=<count or share>'],
  [
    { cohorts: ['stalled=1,rate=5'] },
    'cohort stalled is "rate=5": expected one of backfill,name,delay',
  ],
  [{ cohorts: ['vanishing=1,how=sadly'] }, 'vanishing.how is "sadly": expected reset or silent'],
  [{ roomPrefix: 'a b' }, 'roomPrefix is "a b": expected printable ASCII without blanks'],
  [{ publishFrom: 'nobody' }, 'expected own or members'],
])('an invalid scenario is refused: %j', (scenario, message) => {
  expect(() => plan(scenario)).toThrow(message);
});

test('rooms of a plain server need a join text', () => {
  const rooms = { rooms: '2' };
  const ws = targetSpec('ws', 'ws://127.0.0.1:9');
  expect(() => resolvePlan(rooms, ws, 1, 'abcd')).toThrow('rooms is 2: expected 1 room, or --join');
  expect(resolvePlan(rooms, { ...ws, templates: { join: '{room}' } }, 1, 'abcd').rooms).toBe(2);
});

test('every worker assigns every member alike', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 60 }),
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 1, max: 4 }),
      fc.nat(1000),
      (members, roomsWanted, workersWanted, seed) => {
        const rooms = Math.min(roomsWanted, members);
        const workers = Math.min(workersWanted, members);
        const share = members > 4 ? ['stalled=25%'] : [];
        const made = plan(
          { members: `${members}`, rooms: `${rooms}`, seed: `${seed}`, cohorts: share },
          workers,
        );
        const cohorts = cohortOfMembers(made);
        expect(cohorts).toEqual(cohortOfMembers(made));
        made.cohorts.forEach((cohort, i) => {
          expect(cohorts.filter((c) => c === i)).toHaveLength(cohort.members);
        });
        for (let room = 0; room < rooms; room++) {
          // Members of the room in the publisher's own worker pace a closed loop.
          const local = Array.from({ length: members }, (_, m) => m).filter(
            (m) =>
              firstRoomOf(made, m) === room && workerOfMember(made, m) === workerOfRoom(made, room),
          );
          expect(local.length).toBeGreaterThan(0);
        }
      },
    ),
  );
});

test('a member is in as many rooms as planned, each in its own slot', () => {
  const made = plan({ members: '10', rooms: '5', roomsPerMember: '3' });
  for (let member = 0; member < 10; member++) {
    const slots = [0, 1, 2, 3, 4].map((room) => roomSlotOf(made, member, room));
    expect(slots.filter((slot) => slot >= 0).sort()).toEqual([0, 1, 2]);
  }
});

test('a duration is distributed over the phases', () => {
  const phases = (scenario: object) =>
    resolvePlan(scenario, FAKE_SPEC, 1, 'abcd').phases.map(({ name, ms }) => [name, ms]);
  expect(phases({ duration: '60s' })).toEqual([
    ['warmup', 10_000],
    ['calm', 50_000],
  ]);
  expect(phases({ duration: '3s', warmup: '1s', calm: '2s' })).toEqual([
    ['warmup', 1000],
    ['calm', 2000],
  ]);
  const withSlow = phases({ duration: '60s', cohorts: ['stalled=10%'] }) as [string, number][];
  expect(withSlow.reduce((sum, [, ms]) => sum + ms, 0)).toBeCloseTo(60_000);
  expect(() => phases({ duration: '0' })).toThrow('duration is "0": expected a duration longer');
  expect(() => phases({ duration: 'long' })).toThrow(
    'duration is "long": expected a duration such',
  );
});

test('a room with enough members is spread over all workers, evenly', () => {
  for (const [members, rooms, workers] of [
    [12, 2, 3],
    [1000, 1, 4],
    [64, 16, 4],
    [10, 3, 2],
  ]) {
    const made = plan({ members: `${members}`, rooms: `${rooms}` }, workers);
    for (let room = 0; room < rooms!; room++) {
      const load = new Array<number>(workers!).fill(0);
      for (let member = room; member < members!; member += rooms!) {
        load[workerOfMember(made, member)]!++;
      }
      expect(Math.max(...load) - Math.min(...load), `room ${room} of ${rooms}`).toBeLessThan(2);
    }
  }
});
