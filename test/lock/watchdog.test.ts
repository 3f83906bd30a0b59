import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Mutex, RWLock, WaitGroup } from '../../src/lock/index.js';
import { gate, pass, settle, watched } from './support.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

test('go-deadlock: a long hold without waiters is reported', async () => {
  const { detector, told } = watched();
  const lock = new Mutex({ name: 'server', detector });
  const guard = await lock.lock('Server.load');
  await pass(1_000);
  expect(told[0]).toMatchObject({ kind: 'long-hold', tasks: ['Server.load'] });
  expect(told[0]?.text).toContain('blocked: nobody yet');
  expect(told[0]?.text).toContain('which has no task to look into');
  guard.release();
  await pass(1_000);
  expect(detector.snapshot().reports[0]).toMatchObject({ over: true, ageMs: 2_000 });
});

test('miniredis d66fb3b: a holder that has ended without releasing is named as such', async () => {
  const { detector, incidents } = watched();
  const lock = new Mutex({ name: 'server', detector });
  await detector.runTask('Server.close', async (task) => {
    await lock.lock('Server.close', { task });
    // Returns early, the guard in nobody's hand.
  });
  void detector.runTask('Server.close again', (task) => lock.lock('Server.close', { task }));
  await pass(30_000);
  for (const kind of ['long-hold', 'lock-wait-timeout'] as const) {
    expect(incidents(kind)[0]?.text).toContain('which has ended without releasing it');
    expect(incidents(kind)[0]?.chain.at(-1)).toBe('ended');
  }
});

test('1,000 waiters give one report', async () => {
  const { detector, told, incidents } = watched({ longHoldMs: Number.POSITIVE_INFINITY });
  const lock = new RWLock({ name: 'room', detector });
  const guard = await lock.write('Room.broadcast');
  const waits = Array.from({ length: 1_000 }, (_, i) =>
    i === 0 ? lock.write('Room.add') : lock.read('Room.list'),
  );
  await pass(30_000);
  expect(told).toHaveLength(1);
  expect(incidents('lock-wait-timeout')[0]?.text).toContain(
    'blocked: 999 readers queued behind it',
  );
  await pass(30_000);
  expect(incidents('lock-wait-timeout')).toHaveLength(1);
  guard.release();
  for (const wait of waits) (await wait).release();
});

test('told again after 10 s, then 20, then 40: the same id, a growing count and age', async () => {
  const { detector, told } = watched();
  const lock = new Mutex({ name: 'server', detector });
  await lock.lock('Server.load');
  await pass(120_000);
  expect(new Set(told.map(({ id }) => id)).size).toBe(1);
  expect(told.map(({ count, ageMs }) => [count, ageMs])).toEqual([
    [1, 1_000],
    [2, 11_000],
    [3, 31_000],
    [4, 71_000],
  ]);
  expect(told.map(({ text }) => text.split('\n')[0]?.split('  ')[1])).toEqual([
    'now 1.0 s',
    'seen x2, now 11.0 s',
    'seen x3, now 31.0 s',
    'seen x4, now 71.0 s',
  ]);
});

test('a wait for a group and a chain over several locks are followed to their end', async () => {
  const { detector, incidents } = watched();
  const [a, b] = ['a', 'b'].map((name) => new Mutex({ name, detector }));
  const group = new WaitGroup({ name: 'conns', detector });
  const drain = gate();
  const peer = group.go('c17', async (task) => {
    using _ = await b?.lock('c17', { task });
    await task.waitsOn('conn c17 drain', drain.opened);
  });
  const middle = group.go('middle', async (task) => {
    using _ = await a?.lock('middle', { task });
    using _2 = await b?.lock('middle', { task });
  });
  const last = detector.runTask('last', async (task) => {
    using _ = await a?.lock('last', { task });
  });
  void detector.runTask('close', (task) => group.wait({ task }));
  await pass(30_000);
  const waits = incidents('lock-wait-timeout');
  expect(waits.map(({ chain }) => chain.map((label) => label.replace(/#\d+$/, '')))).toEqual([
    ['last', 'a', 'middle', 'b', 'c17', 'conn c17 drain', 'external'],
    ['close', 'conns', 'c17', 'conn c17 drain', 'external'],
    ['middle', 'b', 'c17', 'conn c17 drain', 'external'],
  ]);
  expect(waits[1]?.text).toMatch(/waits waitgroup:conns, 2 members left 30\.0 s\n {2}of whom c17#/);
  drain.open();
  await Promise.all([peer, middle, last]);
});

test('a wait for a peer alone is not late, however long', async () => {
  const { detector, told } = watched();
  void detector.runTask('writer', (task) => task.waitsOn('conn c1 drain', new Promise(() => {})));
  await pass(120_000);
  expect(told).toEqual([]);
});

test('the time in which the event loop stood still does not count', async () => {
  const { detector, told } = watched({ longHoldMs: 3_000 });
  const lock = new Mutex({ name: 'server', detector });
  await lock.lock('Server.load');
  // The clock runs on while timers cannot: the tick due at 1 s comes at 5 s.
  const now = performance.now.bind(performance);
  vi.spyOn(performance, 'now').mockImplementation(() => now() + 4_000);
  await pass(1_000);
  await pass(1_000);
  expect(told).toEqual([]);
  await pass(1_000);
  expect(told[0]).toMatchObject({ kind: 'long-hold', ageMs: 7_000 });
  expect(told[0]?.text).toContain('event loop stalled 4.0 s of this. hint:');
});

test('10,000 locks held long are 100 incidents, and a number', async () => {
  const { detector, told } = watched();
  const guards = Array.from({ length: 10_000 }, (_, i) =>
    new RWLock({ name: 'room', key: `r${i}`, detector }).tryWrite('Room.load'),
  );
  await pass(1_000);
  expect(told).toHaveLength(100);
  expect(detector.metrics().reports['long-hold']).toBe(100);
  expect(detector.snapshot()).toMatchObject({ unreported: 9_900, untold: 0 });
  expect(detector.snapshot().reports).toHaveLength(100);
  for (const guard of guards) guard?.release();
  await pass(1_000);
  expect(detector.snapshot()).toMatchObject({ unreported: 0, held: [] });
});

test('the timer goes when there is nothing to look at', async () => {
  const { detector } = watched();
  const lock = new Mutex({ name: 'server', detector });
  expect(vi.getTimerCount()).toBe(0);
  const guard = await lock.lock('site');
  expect(vi.getTimerCount()).toBe(1);
  await pass(500);
  guard.release();
  await pass(500);
  expect(vi.getTimerCount()).toBe(0);
  (await lock.lock('site')).release();
  expect(vi.getTimerCount()).toBe(1);
  await settle();
});

test('a new checkIntervalMs holds at once', async () => {
  const { detector, told } = watched({ checkIntervalMs: 60_000, longHoldMs: 10 });
  await new Mutex({ name: 'server', detector }).lock('site');
  await pass(100);
  expect(told).toEqual([]);
  detector.configure({ checkIntervalMs: 10 });
  await pass(10);
  expect(told).toHaveLength(1);
});
