/** The commands of a connection, with a link that records them. */
import { expect, test } from 'vitest';
import { roomSlotOf } from '../../src/load/assign.js';
import { Crew } from '../../src/load/crew.js';
import { resolvePlan, roomName } from '../../src/load/plan.js';
import type { Position } from '../../src/load/protocol.js';
import { Session } from '../../src/load/session.js';
import { STAMP_LENGTH, Stamps } from '../../src/load/stamp.js';
import type { Link } from '../../src/load/targets/target.js';
import { FAKE_SPEC, fakeTarget, inertLink } from '../support/load-fakes.js';

/** A member that rejoins with its position, or of another cohort; the positions it joined with, and its
 * backfill requests. */
function setUp(cohort = 'churning=1,since=true') {
  const joins: (Position | undefined)[] = [];
  const asked: [from: number, to: number][] = [];
  const link: Link = {
    ...inertLink,
    join: (_, since) => void joins.push(since),
    backfill: (_, from, to) => void asked.push([from, to]),
  };
  const target = fakeTarget({ positions: true, dial: () => link });
  const plan = resolvePlan(
    { members: '2', cohorts: [cohort], calm: '1s', slow: '1s' },
    FAKE_SPEC,
    1,
    'abcd',
  );
  const crew = new Crew(plan, 0, 0, new Stamps(plan.tag), target, []);
  const connect = (before?: Session): Session => {
    const options = { readSize: 1 };
    const session = new Session(
      crew,
      1,
      1,
      before,
      options,
      () => {},
      () => {},
    );
    session.open();
    return session;
  };
  const counters = crew.tallies[1]!.counters;
  return { crew, connect, joins, asked, room: roomName(plan, 0), counters };
}

test('a member that has left rejoins from the last message before it had left', () => {
  const { connect, joins, room } = setUp();
  const session = connect();
  session.joined(room, 10, 'e', false);
  session.gap(room, 11, 12);
  session.leaveRooms();
  session.joinRooms();
  expect(joins).toEqual([undefined]);
  session.gap(room, 13, 13);
  session.left(room);
  expect(joins).toEqual([undefined, { epoch: 'e', seq: 13 }]);
});

test('a member that reconnects resumes from the last message of its earlier connection', () => {
  const { connect, joins, room, counters } = setUp();
  const before = connect();
  before.joined(room, 10, 'e', false);
  before.gap(room, 11, 12);
  before.end('reset');
  // Still in flight, and ignored.
  before.gap(room, 13, 13);
  const session = connect(before);
  expect(joins).toEqual([undefined, { epoch: 'e', seq: 12 }]);
  session.joined(room, 20, 'e', true);
  session.gap(room, 13, 20);
  expect(session.owed([21])).toBe(1);
  expect(counters).toMatchObject({ resumed: 1, restarted: 0, announced: 10 });
  expect(counters.faults.wrongGaps).toBe(0);
});

test('a position that the server cannot resume starts afresh, and is counted', () => {
  const { connect, joins, room, counters } = setUp();
  const before = connect();
  before.joined(room, 10, 'e', false);
  before.end('reset');
  const session = connect(before);
  session.joined(room, 3, 'f', false);
  expect(session.owed([5])).toBe(2);
  expect(counters).toMatchObject({ resumed: 0, restarted: 1 });
  session.end('reset');
  connect(session);
  expect(joins.at(-1)).toEqual({ epoch: 'f', seq: 3 });
});

test('backfill requests gaps one after the other, and repeats refused requests', () => {
  const { connect, asked, room, counters } = setUp('late=1,backfill=true');
  const session = connect();
  session.joined(room, 10, 'e', false);
  session.gap(room, 11, 12);
  session.gap(room, 13, 20);
  expect(asked).toEqual([[11, 12]]);
  session.answered(room, 12, [[11, 12]]);
  session.refusedPast('rate_limited');
  expect(asked).toEqual([
    [11, 12],
    [13, 20],
  ]);
  session.askForPast();
  session.askForPast();
  expect(asked).toHaveLength(3);
  session.answered(room, 15, [[13, 15]]);
  expect(asked.at(-1)).toEqual([16, 20]);
  expect(session.awaitsPast).toBe(true);
  session.answered(room, 20, [[16, 20]]);
  expect(session.awaitsPast).toBe(false);
  expect(counters).toMatchObject({ announced: 10, refused: {} });
  expect(counters.backfill).toMatchObject({ expired: 10, refused: { rate_limited: 1 } });
});

test('a gap of a room that the member is not in accounts for nothing, and is wrong', () => {
  const { crew, connect, room, counters } = setUp('stalled=1');
  const session = connect();
  session.joined(room, 10, 'e', false);
  session.gap('load:abcd-0001', 11, 14);
  expect(counters).toMatchObject({ announced: 0, faults: { wrongGaps: 1 } });
  crew.endedAt = crew.now();
  expect(session.owed([14])).toBe(4);
  session.gap(room, 11, 14);
  expect(session.owed([14])).toBe(0);
  expect(counters).toMatchObject({ announced: 4, faults: { wrongGaps: 1 } });
});

test('a confirmation for a room outside of the run confirms nothing', () => {
  const { crew, connect, room } = setUp();
  const session = connect();
  let answers = 0;
  crew.onAnswer = () => answers++;
  session.confirmed('load:abcd-0001', 20);
  expect([[...crew.finals], answers]).toEqual([[], 0]);
  session.confirmed(room, 20);
  expect([[...crew.finals], answers]).toEqual([[[0, 20]], 1]);
});

test('65,536 rooms are distinguished by number and by name', () => {
  const plan = resolvePlan({ members: '65536', rooms: '65536' }, FAKE_SPEC, 1, 'abcd');
  const crew = new Crew(plan, 0, 0, new Stamps('abcd'), fakeTarget(), []);
  const named = (room: number, other: number) =>
    crew.isNamed(room, Buffer.from(JSON.stringify(roomName(plan, other))), 0);
  for (const room of [0, 5, 1234, 9999, 12_345, 65_535]) {
    expect(named(room, room), `${room}`).toBe(true);
    for (const other of [room + 10_000, room + 1, room * 10 + 1, 11_234, 2345]) {
      if (other !== room) expect(named(room, other), `${room}, ${other}`).toBe(false);
    }
  }
  expect(roomSlotOf(plan, 7, 7)).toBe(0);
  for (const none of [-1, 65_536, 65_543]) expect(roomSlotOf(plan, 7, none)).toBe(-1);
});

test('a member without backfill requests nothing', () => {
  const { connect, asked, room, counters } = setUp('late=1');
  const session = connect();
  session.joined(room, 10, 'e', false);
  session.gap(room, 11, 12);
  expect(asked).toEqual([]);
  expect(counters.announced).toBe(2);
});

test('a request on an ended connection is not repeated on the next one', () => {
  const { connect, asked, room, counters } = setUp('late=1,backfill=true');
  const before = connect();
  before.joined(room, 10, 'e', false);
  before.gap(room, 11, 12);
  before.closed('ECONNRESET');
  expect(counters.backfill.cutOff).toBe(1);
  const session = connect();
  session.joined(room, 15, 'e', false);
  session.askForPast();
  expect(asked).toEqual([[11, 12]]);
});

test('a refusal before the member is in its rooms concerns its join', () => {
  const { connect, room, counters } = setUp();
  const refused = connect();
  refused.refused('forbidden');
  expect(refused.ended).toBe(true);
  expect(counters).toMatchObject({ failures: { 'refused: forbidden': 1 }, refused: {} });
  const member = connect();
  member.joined(room, 0, 'e', false);
  member.refused('rate_limited');
  expect(member.present).toBe(true);
  expect(counters).toMatchObject({ refused: { rate_limited: 1 } });
});

test('a member that is disconnected after it has left did not fail to join', () => {
  const { connect, room, counters } = setUp();
  const session = connect();
  session.joined(room, 0, 'e', false);
  session.leaveRooms();
  session.left(room);
  session.closed('4107 nothing sent in time');
  expect(counters).toMatchObject({ failures: {}, closes: { '4107 nothing sent in time': 1 } });
});

test('a wait that ends after publishing counts from when the awaited message was written', () => {
  const { crew, room } = setUp();
  const { plan, stamps } = crew;
  const options = { readSize: 1 };
  const session = new Session(
    crew,
    0,
    0,
    undefined,
    options,
    () => {},
    () => {},
  );
  session.joined(room, 0, 'e', false);
  const start = Math.ceil(crew.now());
  let seq = 0;
  /** A message that was due, written and read at the given ms. */
  const message = (due: number, written: number, read: number): void => {
    const late = (written - due) * 1000;
    const payload = stamps.payload(plan.size, 0, seq++, start + due * 1000, late);
    session.chunk(payload.length, start + read * 1000);
    session.message(payload, payload.length - STAMP_LENGTH, seq, -1);
  };
  const waited = () => session.waited.map((at) => (at === 0 ? 0 : (at - start) / 1000));
  message(900, 900, 1000);
  message(950, 950, 3000);
  // Until the end the engine checks by itself.
  expect(waited()).toEqual([0, 0]);
  crew.stage = 'after';
  message(3100, 3100, 5000);
  expect(waited()).toEqual([3100, 5000]);
  message(4000, 4000, 6000);
  expect(waited()).toEqual([3100, 5000]);
  // A message that was refused and sent again: until then nothing was owed.
  message(5000, 9900, 10_000);
  expect(waited()).toEqual([3100, 5000]);
});
