/**
 * The second story: a broadcast holds the room's read lock across its sends, so that one slow member
 * blocks an add, and every reader behind it. It is a stall, not a deadlock: it ends with the drain.
 */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type Detector, RWLock } from '../../src/lock/index.js';
import { follow, gate, pass, settle, watched } from './support.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

interface Member {
  readonly name: string;
  readonly received: string[];
  send(message: string): Promise<void>;
}

function members() {
  const drain = gate();
  const fast: Member = {
    name: 'c1',
    received: [],
    async send(message) {
      this.received.push(message);
    },
  };
  const slow: Member = {
    name: 'c17',
    received: [],
    async send(message) {
      await drain.opened;
      this.received.push(message);
    },
  };
  return { fast, slow, drain };
}

function naiveRoom(detector: Detector, present: Member[]) {
  const lock = new RWLock({ name: 'room', detector });
  const broadcast = (message: string) =>
    detector.runTask('Room.broadcast', async (task) => {
      using _ = await lock.read('Room.broadcast', { task });
      for (const member of present) {
        await task.waitsOn(`conn ${member.name} drain`, member.send(message));
      }
    });
  const add = (member: Member) =>
    detector.runTask('Room.add', async (task) => {
      using _ = await lock.write('Room.add', { task });
      present.push(member);
    });
  const list = () =>
    detector.runTask('Room.list', async (task) => {
      using _ = await lock.read('Room.list', { task });
      return present.length;
    });
  return { broadcast, add, list };
}

test('naive: the cause is reported after 1 s, the blocked waits after 30 s', async () => {
  const { detector, told, incidents } = watched();
  const { fast, slow, drain } = members();
  const room = naiveRoom(detector, [fast, slow]);
  const ends = [follow(room.broadcast('hello'))];
  await settle();
  ends.push(follow(room.add({ ...fast, name: 'c18' })), follow(room.list()));
  await settle();
  expect(told).toEqual([]);

  await pass(1_000);
  const [hold] = incidents('long-hold');
  expect(told).toHaveLength(1);
  expect(hold).toMatchObject({ certain: false, count: 1, ageMs: 1_000 });
  const [add, broadcast] = hold?.tasks ?? [];
  expect(hold?.chain).toEqual([add, 'room', broadcast, 'conn c17 drain', 'external']);
  expect(hold?.text.split('\n')).toEqual([
    `LONG HOLD (suspected) id=${hold?.id}  lasting 1.0 s`,
    `  lock:room (read) is held by ${broadcast}`,
    `  ${broadcast} waits for conn c17 drain (external peer)`,
    `  blocked: ${add} (write) for 1.0 s, and 1 reader behind it`,
    '  hint: queue messages per consumer; do not await sends while holding lock:room.',
  ]);

  await pass(29_000);
  const [wait] = incidents('lock-wait-timeout');
  expect(wait?.ageMs).toBe(30_000);
  expect(wait?.text).toContain(`${add} has waited 30.0 s for lock:room (write)`);
  expect(wait?.text).toContain(
    `held by ${broadcast} (read) for 30.0 s\n  ${broadcast} waits for conn c17 drain (external peer)`,
  );
  expect(wait?.chain).toEqual([add, 'room', broadcast, 'conn c17 drain', 'external']);
  // A stall: both waits are still pending, and the report claims nothing certain.
  expect(ends.map((end) => end.settled)).toEqual([false, false, false]);
  expect(detector.metrics()).toMatchObject({ reports: { deadlock: 0 }, deadlockedTasks: 0 });
  expect(incidents('long-hold')).toHaveLength(1);
  expect(incidents('long-hold')[0]).toMatchObject({ id: hold?.id, count: 2, ageMs: 11_000 });

  drain.open();
  await settle();
  expect(ends.map((end) => end.settled)).toEqual([true, true, true]);
  await pass(1_000);
  expect(detector.snapshot().reports.every(({ over }) => over)).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
});

test('the metrics name the holder that blocks others while it still holds the lock', async () => {
  const { detector } = watched();
  const { fast, slow, drain } = members();
  const room = naiveRoom(detector, [fast, slow]);
  void room.broadcast('hello');
  await settle();
  void room.add(fast);
  void room.list();
  await vi.advanceTimersByTimeAsync(10_000);
  const { blocked, locks } = detector.metrics();
  // Two waits of 10 s each, and the hold that no histogram has seen yet.
  expect(blocked).toEqual([{ lock: 'room', site: 'Room.broadcast', seconds: 20 }]);
  const [read, write] = locks;
  expect(read).toMatchObject({ mode: 'read', holders: 1, waiters: 1, oldestHoldSeconds: 10 });
  expect(read?.hold.count).toBe(0);
  expect(write).toMatchObject({ mode: 'write', holders: 0, waiters: 1, oldestWaitSeconds: 10 });
  drain.open();
  await settle();
  expect(detector.metrics().blocked).toEqual(blocked);
});

test('correct version: the add succeeds before the clock moves, the fast member gets everything', async () => {
  const { detector, told } = watched();
  const { fast, slow } = members();
  const present = [fast, slow];
  const lock = new RWLock({ name: 'room', detector });
  const broadcast = (message: string) => {
    for (const member of lock.withReadSync('Room.broadcast', () => [...present])) {
      void member.send(message);
    }
  };
  broadcast('one');
  lock.withWriteSync('Room.add', () => present.push({ ...fast, name: 'c18' }));
  broadcast('two');
  await settle();
  expect(performance.now()).toBe(0);
  expect(fast.received).toEqual(['one', 'two', 'two']);
  await pass(60_000);
  expect(told).toEqual([]);
});
