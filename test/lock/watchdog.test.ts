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
  expect(told[0]?.text).toContain('blocked: nothing yet');
  expect(told[0]?.text).toContain('Server.load is not a task, so its waits are unknown');
  guard.release();
  await pass(1_000);
  expect(detector.snapshot().reports[0]).toMatchObject({ over: true, ageMs: 2_000 });
});

test('miniredis d66fb3b: a holder that ended without releasing is named as such', async () => {
  const { detector, incidents } = watched();
  const lock = new Mutex({ name: 'server', detector });
  await detector.runTask('Server.close', async (task) => {
    await lock.lock('Server.close', { task });
    // Returns early without releasing the guard.
  });
  void detector.runTask('Server.close again', (task) => lock.lock('Server.close', { task }));
  await pass(30_000);
  for (const kind of ['long-hold', 'lock-wait-timeout'] as const) {
    expect(incidents(kind)[0]?.text).toMatch(/ Server\.close#\d+ has ended without releasing it/);
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
  expect(incidents('lock-wait-timeout')[0]?.text).toContain('also queued: 999 readers');
  await pass(30_000);
  expect(incidents('lock-wait-timeout')).toHaveLength(1);
  guard.release();
  for (const wait of waits) (await wait).release();
});

test('repeats after 10 s, then 20, then 40, with the same id and a growing count and age', async () => {
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
    'lasting 1.0 s',
    'lasting 11.0 s, reported 2 times',
    'lasting 31.0 s, reported 3 times',
    'lasting 71.0 s, reported 4 times',
  ]);
});

test('follows a wait for a group and a chain over several locks to the end', async () => {
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
  expect(waits[1]?.text).toMatch(
    /has waited 30\.0 s for waitgroup:conns \(2 members left\)\n {2}oldest member: c17#/,
  );
  drain.open();
  await Promise.all([peer, middle, last]);
});

test('a wait for an external peer is not reported, however long', async () => {
  const { detector, told } = watched();
  void detector.runTask('writer', (task) => task.waitsOn('conn c1 drain', new Promise(() => {})));
  await pass(120_000);
  expect(told).toEqual([]);
});

test('time in which the event loop was blocked does not count', async () => {
  const { detector, told } = watched({ longHoldMs: 3_000 });
  const lock = new Mutex({ name: 'server', detector });
  await lock.lock('Server.load');
  // The clock advances while timers cannot run: the tick due at 1 s runs at 5 s.
  const now = performance.now.bind(performance);
  vi.spyOn(performance, 'now').mockImplementation(() => now() + 4_000);
  await pass(1_000);
  await pass(1_000);
  expect(told).toEqual([]);
  await pass(1_000);
  expect(told[0]).toMatchObject({ kind: 'long-hold', ageMs: 7_000 });
  expect(told[0]?.text).toContain('note: the event loop was blocked for 4.0 s of this\n  hint:');
});

test('10,000 long holds give 100 incidents and a count of the rest', async () => {
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

test('the timer stops when there is nothing to check', async () => {
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

test('a new checkIntervalMs takes effect at once', async () => {
  const { detector, told } = watched({ checkIntervalMs: 60_000, longHoldMs: 10 });
  await new Mutex({ name: 'server', detector }).lock('site');
  await pass(100);
  expect(told).toEqual([]);
  detector.configure({ checkIntervalMs: 10 });
  await pass(10);
  expect(told).toHaveLength(1);
});
