import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type LockMetrics, type LockMetricsRow, type Mode, RWLock } from '../../src/lock/index.js';
import { settle, watched } from './support.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function rowOf(metrics: LockMetrics, lock: string, mode: Mode): LockMetricsRow {
  const row = metrics.locks.find((each) => each.lock === lock && each.mode === mode);
  if (row === undefined) throw new Error(`no row for ${lock} ${mode}`);
  return row;
}

test('holds and waits are counted in the right buckets, with their sums', async () => {
  const { detector } = watched();
  const lock = new RWLock({ name: 'room', detector });
  for (const ms of [0, 0.5, 2, 50, 20_000, 40_000]) {
    const guard = await lock.write('holder');
    const waiting = lock.read('waiter');
    await vi.advanceTimersByTimeAsync(ms === 0.5 ? 1 : ms);
    guard.release();
    (await waiting).release();
  }
  const metrics = detector.metrics();
  expect(metrics.buckets).toEqual([
    1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 1e-4, 2.5e-4, 1e-3, 2.5e-3, 1e-2, 0.1, 1, 10, 30,
  ]);
  const holds = rowOf(metrics, 'room', 'write').hold;
  // 0; 1 ms at its own bound; 2 ms; 50 ms; 20 s; and 40 s above the last bound.
  expect(holds.cumulative).toEqual([1, 1, 1, 1, 1, 1, 1, 2, 3, 3, 4, 4, 4, 5]);
  expect(holds.count).toBe(6);
  expect(holds.sum).toBeCloseTo(60.053, 9);
  const { wait } = rowOf(metrics, 'room', 'read');
  expect(wait).toEqual(holds);
  // Immediate acquisitions waited for 0 s.
  expect(rowOf(metrics, 'room', 'write').wait).toMatchObject({ count: 6, sum: 0 });
});

test('sections are measured like guards', () => {
  const { detector } = watched();
  const lock = new RWLock({ name: 'room', detector });
  lock.withWriteSync('section', () => vi.advanceTimersByTime(5));
  expect(() =>
    lock.withWriteSync('throws', () => {
      throw new Error('mine');
    }),
  ).toThrow('mine');
  const row = rowOf(detector.metrics(), 'room', 'write');
  expect(row.acquisitions.immediate).toBe(2);
  expect(row.hold).toMatchObject({ count: 2, sum: 0.005 });
});

test('acquisitions are counted by result', async () => {
  const { detector } = watched({ mode: 'strict' });
  const lock = new RWLock({ name: 'room', detector });
  const stop = new AbortController();
  const refused = { signal: AbortSignal.abort(), site: 'aborted before' };
  await detector.runTask('holder', async (task) => {
    const guard = await lock.write('immediate', { task });
    const ends = [
      lock.write('deadlock', { task }),
      lock.write('timeout', { timeoutMs: 1 }),
      lock.write('aborted', { signal: stop.signal }),
      lock.write(refused.site, refused),
      lock.write('waited').then((own) => own.release()),
    ];
    const settled = Promise.allSettled(ends);
    await vi.advanceTimersByTimeAsync(1);
    stop.abort();
    guard.release();
    await settled;
    const last = lock.tryWrite('immediate');
    const closed = lock.write('closed');
    lock.close('over');
    await expect(closed).rejects.toThrow();
    await expect(lock.write('closed already')).rejects.toThrow();
    last?.release();
  });
  expect(rowOf(detector.metrics(), 'room', 'write').acquisitions).toEqual({
    immediate: 2,
    waited: 1,
    timeout: 1,
    aborted: 2,
    closed: 2,
    deadlock: 1,
  });
  // A failed wait counts as a wait; an immediate rejection does not.
  expect(rowOf(detector.metrics(), 'room', 'write').wait.count).toBe(2 + 5);
});

test('waiting time is charged to each holder in turn, and adds up', async () => {
  const { detector } = watched();
  const lock = new RWLock({ name: 'room', detector });
  const first = await lock.write('first');
  const gone = new AbortController();
  const second = lock.write('second');
  const third = lock.write('third');
  const aborted = lock.write('aborted', { signal: gone.signal }).catch(() => {});
  await vi.advanceTimersByTimeAsync(1_000);
  gone.abort();
  await aborted;
  await vi.advanceTimersByTimeAsync(1_000);
  first.release();
  const held = await second;
  await vi.advanceTimersByTimeAsync(500);
  held.release();
  (await third).release();
  await settle();
  expect(detector.metrics().blocked).toEqual([
    { lock: 'room', site: 'first', seconds: 5 },
    { lock: 'room', site: 'second', seconds: 0.5 },
  ]);
  expect(rowOf(detector.metrics(), 'room', 'write').wait.sum).toBeCloseTo(5.5, 9);
});

test('a section is charged too, if a request arrives inside it', async () => {
  const { detector } = watched();
  const lock = new RWLock({ name: 'room', detector });
  let waiting: Promise<void> = Promise.resolve();
  lock.withWriteSync('section', () => {
    waiting = lock.read('inside').then((guard) => guard.release());
    vi.advanceTimersByTime(250);
  });
  await waiting;
  expect(detector.metrics().blocked).toEqual([{ lock: 'room', site: 'section', seconds: 0.25 }]);
});

test('16 classes and 64 sites, then other: the number of series is bounded', async () => {
  const { detector } = watched();
  for (let i = 0; i < 100; i += 1) {
    const lock = new RWLock({ name: `class ${i}`, detector });
    for (let j = 0; j < 100; j += 10) {
      const guard = await lock.write(`site ${i + j}`);
      const waiting = lock.write('waiter');
      await vi.advanceTimersByTimeAsync(1);
      guard.release();
      (await waiting).release();
    }
  }
  const { locks, blocked } = detector.metrics();
  expect(locks).toHaveLength(17 * 2);
  expect(locks.slice(-2).map(({ lock, mode }) => [lock, mode])).toEqual([
    ['other', 'read'],
    ['other', 'write'],
  ]);
  expect(locks.at(-1)?.acquisitions).toMatchObject({ immediate: 840, waited: 840 });
  const sites = new Set(blocked.map(({ site }) => site));
  expect(sites.size).toBe(65);
  expect(sites).toContain('other');
  expect(blocked.reduce((sum, { seconds }) => sum + seconds, 0)).toBeCloseTo(1, 9);
  expect(blocked.length).toBeLessThanOrEqual(17 * 65);
});

test('a class named other shares the row other', () => {
  const { detector } = watched();
  new RWLock({ name: 'other', detector }).withReadSync('site', () => 1);
  const rows = detector.metrics().locks;
  expect(rows.map(({ lock }) => lock)).toEqual(['other', 'other']);
  expect(rows[0]?.acquisitions.immediate).toBe(1);
});
