import { readdirSync, readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Detector, type LockMetrics, RWLock } from '../../src/lock/index.js';
import { CATALOGUE } from '../../src/metrics/catalogue/index.js';
import { LOCK_REPORTS, LOCK_SITES, LOCKS } from '../../src/metrics/catalogue/locks.js';
import { readLocks } from '../../src/metrics/locks.js';
import { createMetrics, type Metrics } from '../../src/metrics/registry.js';
import { parse, sources } from './support.js';

let metrics: Metrics | undefined;
let detector: Detector;
beforeEach(() => {
  detector = new Detector();
});
afterEach(() => metrics?.close());

async function scrape() {
  metrics = createMetrics({ ...sources(), detector });
  const series = parse(await metrics.scrape());
  return (name: string, labels: string) => series.get(`roomcast_lock_${name}{${labels}}`);
}

describe('the lock metrics', () => {
  it('have the buckets and kinds of the lock module', () => {
    const { buckets, reports } = new Detector().metrics();
    expect(CATALOGUE.lockHoldSeconds.buckets).toEqual(buckets);
    expect(CATALOGUE.lockWaitSeconds.buckets).toEqual(buckets);
    expect([...LOCK_REPORTS].sort()).toEqual(Object.keys(reports).sort());
  });

  it('list every lock class and site of the server', () => {
    const names = { classes: new Set<string>(), sites: new Set<string>() };
    for (const file of readdirSync('src/room')) {
      const code = readFileSync(`src/room/${file}`, 'utf8');
      for (const [, name] of code.matchAll(/new (?:RWLock|Mutex)\(\{ name: '([^']+)'/g)) {
        names.classes.add(name!);
      }
      const take = /\.(?:try(?:Read|Write)|read|write|with(?:Read|Write)Sync)\('([^']+)'/g;
      for (const [, site] of code.matchAll(take)) names.sites.add(site!);
    }
    expect([...names.classes, 'other'].sort()).toEqual([...LOCKS].sort());
    expect([...names.sites, 'other'].sort()).toEqual([...LOCK_SITES].sort());
  });

  it('follow a lock of the server', async () => {
    const before = (await scrape())('hold_seconds_count', 'lock="room.members",mode="write"')!;
    const lock = new RWLock({ name: 'room.members', detector });
    lock.withWriteSync('Room.add', () => {});
    const guard = lock.tryRead('Room.members')!;
    const now = await scrape();
    expect(now('hold_seconds_count', 'lock="room.members",mode="write"')).toBe(before + 1);
    expect(now('holders', 'lock="room.members",mode="read"')).toBe(1);
    const result = 'result="immediate"';
    expect(now('acquisitions_total', `lock="room.members",mode="read",${result}`)).toBe(1);
    guard.release();
  });

  it('sum up other locks as other', async () => {
    for (const name of ['theirs', 'theirs too']) {
      new RWLock({ name, detector }).withReadSync('somewhere', () => {});
    }
    const now = await scrape();
    expect(now('hold_seconds_count', 'lock="other",mode="read"')).toBe(2);
    expect(now('hold_seconds_count', 'lock="theirs",mode="read"')).toBeUndefined();
  });
});

it('rows are in the order of the catalogue', () => {
  const histogram = (counts: number[], sum: number) => {
    let count = 0;
    const cumulative = counts.map((each) => (count += each));
    return { cumulative: cumulative.slice(0, -1), count, sum };
  };
  const cells = CATALOGUE.lockHoldSeconds.buckets.length + 1;
  const some = Array.from({ length: cells }, (_, i) => i);
  const row = (lock: string, mode: 'read' | 'write', seed: number) => ({
    lock,
    mode,
    wait: histogram(some, seed),
    hold: histogram([...some].reverse(), seed * 2),
    acquisitions: { immediate: seed, waited: 0, timeout: 0, aborted: 0, closed: 0, deadlock: 1 },
    waiters: seed,
    holders: seed + 1,
    oldestWaitSeconds: seed,
    oldestHoldSeconds: 10 - seed,
  });
  const metrics: LockMetrics = {
    buckets: CATALOGUE.lockHoldSeconds.buckets,
    locks: [row('x', 'write', 3), row('room.members', 'write', 1), row('y', 'write', 4)],
    blocked: [
      { lock: 'room.members', site: 'Room.add', seconds: 2 },
      { lock: 'z', site: 'elsewhere', seconds: 3 },
    ],
    reports: new Detector().metrics().reports,
    deadlockedTasks: 5,
  };
  const read = readLocks(metrics);
  // Rows: lifecycle read and write, members read and write, other read and write.
  expect([...read.lockWaiters]).toEqual([0, 0, 0, 1, 0, 7]);
  expect([...read.lockHolders]).toEqual([0, 0, 0, 2, 0, 9]);
  expect([...read.lockOldestWaitSeconds]).toEqual([0, 0, 0, 1, 0, 4]);
  expect([...read.lockOldestHoldSeconds]).toEqual([0, 0, 0, 9, 0, 7]);
  expect([...read.lockHoldSeconds.sums]).toEqual([0, 0, 0, 2, 0, 14]);
  expect([...read.lockWaitSeconds.counts.subarray(3 * cells, 4 * cells)]).toEqual(some);
  const other = read.lockHoldSeconds.counts.subarray(5 * cells);
  expect([...other]).toEqual(some.map((n) => n * 2).reverse());
  expect([...read.lockAcquisitions.subarray(5 * 6)]).toEqual([7, 0, 0, 0, 0, 2]);
  expect(read.lockBlockedSeconds[LOCK_SITES.length + LOCK_SITES.indexOf('Room.add')]).toBe(2);
  expect(read.lockBlockedSeconds.at(-1)).toBe(3);
  expect(read.lockDeadlockedTasks).toBe(5);
});
