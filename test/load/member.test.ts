/** How slow members look from the server's side: real TCP, and real time where TCP needs it. */
import { expect, onTestFinished, test, vi } from 'vitest';
import type { WebSocket } from 'ws';
import { machineMicros } from '../../src/load/clock.js';
import { Crew } from '../../src/load/crew.js';
import { Member } from '../../src/load/member.js';
import { resolvePlan, roomName } from '../../src/load/plan.js';
import { Stamps } from '../../src/load/stamp.js';
import { openTarget, type TargetSpec } from '../../src/load/targets/index.js';
import { noFault } from '../contract/target.js';
import { type BroadcastServer, startBroadcastServer } from '../support/broadcast-server.js';
import { FAKE_SPEC, fakeTarget } from '../support/load-fakes.js';

/** More than the kernel buffers for a loopback peer that does not read. */
const BEYOND_KERNEL = 8 * 1024 * 1024;

interface SetUp {
  server: BroadcastServer;
  member: Member;
  crew: Crew;
  /** The server's end of the member's latest connection. */
  peer(): WebSocket;
}

/** One member of a cohort, connected. */
async function connect(
  cohort: string,
  target: Pick<TargetSpec, 'name' | 'templates'> = { name: 'ws', templates: {} },
): Promise<SetUp> {
  const server = await startBroadcastServer('loop');
  const plan = resolvePlan(
    { members: '2', cohorts: [cohort], calm: '1s', warmup: '0', slow: '1s' },
    { url: server.url, transport: 'websocket', headers: {}, ...target },
    1,
    'abcd',
  );
  const stamps = new Stamps(plan.tag);
  const opened = await openTarget(plan.target, stamps, noFault);
  const crew = new Crew(plan, 0, machineMicros(), stamps, opened, []);
  const member = new Member(crew, 1, 1);
  await new Promise<void>((joined) => member.connect(joined));
  onTestFinished(async () => {
    member.close();
    for (const link of crew.abandoned) link.reset();
    await server.close();
  });
  return { server, member, crew, peer: () => [...server.connections].at(-1)! };
}

const counters = (crew: Crew) => crew.tallies[1]!.counters;

async function until(condition: () => boolean): Promise<void> {
  await vi.waitFor(() => expect(condition()).toBe(true), { timeout: 10_000, interval: 10 });
}

test('a stalled member reads nothing, however much is sent, until it behaves', async () => {
  const { member, crew, peer } = await connect('stalled=1');
  member.disturb();
  const before = counters(crew).bytes;
  peer().send(Buffer.alloc(BEYOND_KERNEL));
  await until(() => peer().bufferedAmount > 0);
  let left = -1;
  await until(() => {
    const settled = peer().bufferedAmount === left;
    left = peer().bufferedAmount;
    return settled;
  });
  expect(counters(crew).bytes).toBe(before);
  member.behave();
  await until(() => peer().bufferedAmount === 0 && counters(crew).bytes >= before + BEYOND_KERNEL);
});

test('a throttled member reads at its rate', async () => {
  const { member, crew, peer } = await connect('throttled=1,rate=200KiB/s');
  member.disturb();
  peer().send(Buffer.alloc(BEYOND_KERNEL));
  await until(() => counters(crew).bytes > 0);
  const [bytes, at] = [counters(crew).bytes, performance.now()];
  await until(() => counters(crew).bytes - bytes > 150_000);
  const rate = (counters(crew).bytes - bytes) / ((performance.now() - at) / 1000);
  // It makes up for at most one missed tick, so a busy machine makes it slower, never faster.
  expect(rate).toBeLessThan(200 * 1024 * 1.3);
  expect(rate).toBeGreaterThan(20 * 1024);
});

test('a sawtooth member pauses and reads again', async () => {
  const { member } = await connect('sawtooth=1,read=30ms,pause=30ms');
  member.disturb();
  for (const stopped of [true, false, true, false]) {
    await until(() => member.session?.reading.isStopped === stopped);
  }
  member.behave();
  expect(member.session?.reading.isStopped).toBe(false);
});

test('a late member reads again by itself', async () => {
  const { member } = await connect('late=1,after=50ms');
  member.disturb();
  expect(member.session?.reading.isStopped).toBe(true);
  await until(() => member.session?.reading.isStopped === false);
});

test('a vanishing member is reset and reconnects', async () => {
  const { server, member, crew, peer } = await connect('vanishing=1,stay=20ms,back=20ms');
  const codes: number[] = [];
  peer().on('close', (code) => codes.push(code));
  member.disturb();
  await until(() => counters(crew).connects >= 3);
  expect(codes).toEqual([1006]);
  member.behave();
  await until(() => counters(crew).present === 1 && server.connections.size === 1);
  expect(counters(crew).closes).toEqual({});
});

test('a member that goes silent leaves its connection open', async () => {
  const { server, member, crew } = await connect('vanishing=1,how=silent,stay=20ms,back=20ms');
  const first = [...server.connections][0]!;
  member.disturb();
  await until(() => counters(crew).connects >= 3);
  member.behave();
  expect(first.readyState).toBe(first.OPEN);
  expect(crew.abandoned.size).toBeGreaterThan(0);
  first.send(Buffer.alloc(BEYOND_KERNEL));
  await until(() => first.bufferedAmount > 0);
});

test('a churning member without a leave command disconnects, and reconnects', async () => {
  const { member, crew } = await connect('churning=1,stay=20ms,away=20ms');
  member.disturb();
  await until(() => counters(crew).connects >= 3);
  member.behave();
  await until(() => counters(crew).present === 1);
});

test('a member that leaves by disconnecting keeps only connections open that the server has not ended', async () => {
  const { server, member, crew, peer } = await connect('churning=1,stay=20ms,away=20ms');
  // It reads nothing, so it never notices that the member has disconnected.
  peer().pause();
  const first = member.session!.link;
  member.disturb();
  await until(() => counters(crew).connects >= 2);
  member.behave();
  expect(crew.abandoned.has(first)).toBe(true);
  // Connections that the server has closed are not kept.
  await until(() => crew.abandoned.size === 1 && server.connections.size === 2);
});

test('a member that leaves and is disconnected by the server reconnects', async () => {
  const templates = { join: 'join {room}', leave: 'leave {room}' };
  const { member, crew, peer } = await connect('churning=1,stay=20ms,away=20ms', {
    name: 'ws',
    templates,
  });
  peer().terminate();
  await until(() => counters(crew).present === 0);
  member.disturb();
  await until(() => counters(crew).connects === 2 && counters(crew).present === 1);
  expect(Object.values(counters(crew).closes)).toEqual([1]);
});

test('a stalled member that the server resets counts as evicted, with the time', async () => {
  const { server, member, crew, peer } = await connect('stalled=1');
  member.disturb();
  peer().send(Buffer.alloc(BEYOND_KERNEL));
  await until(() => peer().bufferedAmount > 0);
  server.reset(peer());
  await until(() => {
    member.session?.link.probe();
    return counters(crew).present === 0;
  });
  expect(Object.keys(counters(crew).closes)).toEqual([expect.stringMatching(/EPIPE|ECONNRESET/)]);
  expect(crew.tallies[1]!.report().evictions).not.toEqual([]);
});

test('a member that is still joining does not depart again, and its join is awaited', () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const plan = resolvePlan(
    { members: '2', cohorts: ['vanishing=1,stay=20ms,back=20ms'], calm: '1s', slow: '1s' },
    FAKE_SPEC,
    1,
    'abcd',
  );
  const crew = new Crew(plan, 0, machineMicros(), new Stamps(plan.tag), fakeTarget(), []);
  const member = new Member(crew, 1, 1);
  onTestFinished(() => member.close());
  member.connect();
  member.session!.joined(roomName(plan, 0), 0, '', false);
  expect(member.isJoining).toBe(false);
  member.disturb();
  vi.advanceTimersByTime(9000);
  expect(member.isJoining).toBe(true);
  expect(counters(crew)).toMatchObject({ connects: 2, failures: {} });
  vi.advanceTimersByTime(1500);
  expect(counters(crew)).toMatchObject({
    connects: 3,
    failures: { 'not joined within 10 s': 1 },
  });
});
