/** Lock orders that can deadlock are reported, those that cannot are not. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Detector, type Guard, Mutex, RWLock, WaitGroup } from '../../src/lock/index.js';
import { gate, settle, watched } from './support.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** One task that acquires these locks one inside the other, then releases all. */
async function take(detector: Detector, locks: Mutex[], task = 'worker'): Promise<void> {
  await detector.runTask(task, async (own) => {
    const guards: Guard[] = [];
    for (const lock of locks) guards.push(await lock.lock('here', { task: own }));
    for (const guard of guards) guard.release();
  });
}

const mutexes = (detector: Detector, ...names: string[]) =>
  names.map((name) => new Mutex({ name, detector }));

describe('no inversion', () => {
  test('of one task that uses both orders one after the other', async () => {
    const { detector, told } = watched();
    const [a, b] = mutexes(detector, 'a', 'b') as [Mutex, Mutex];
    await detector.runTask('only', async (task) => {
      const first = await a.lock('1', { task });
      const second = await b.lock('2', { task });
      first.release();
      (await a.lock('3', { task })).release();
      second.release();
    });
    await settle();
    expect(told).toEqual([]);
  });

  test('behind a lock that all tasks hold exclusively from before', async () => {
    const { detector, told } = watched();
    const [gate, a, b, c] = mutexes(detector, 'gate', 'a', 'b', 'c') as Mutex[];
    for (const order of [
      [gate, a, b],
      [gate, b, c],
      [gate, c, a],
      [gate, b, a],
    ]) {
      await take(detector, order as Mutex[]);
      await take(detector, order as Mutex[]);
    }
    await settle();
    expect(told).toEqual([]);
  });
});

test('no inversion of three locks, where a gate excludes two of the tasks from each other', async () => {
  const { detector, told } = watched();
  const [gate, a, b, c] = mutexes(detector, 'gate', 'a', 'b', 'c') as [Mutex, Mutex, Mutex, Mutex];
  for (const order of [
    [gate, a, b],
    [gate, b, c],
    [c, a],
  ]) {
    await take(detector, order);
  }
  await settle();
  expect(told).toEqual([]);
  // A task outside the gate makes it one.
  await take(detector, [b, c]);
  await settle();
  expect(told).toHaveLength(1);
});

describe('an inversion', () => {
  test('of two tasks, as soon as the second reverses the order', async () => {
    const { detector, incidents } = watched();
    const [a, b] = mutexes(detector, 'a', 'b') as [Mutex, Mutex];
    await take(detector, [a, b]);
    await take(detector, [b, a]);
    await settle();
    expect(incidents('lock-order-inversion')).toHaveLength(1);
  });

  test('of one task that uses both orders, once another task uses one of them', async () => {
    const { detector, incidents } = watched();
    const [a, b] = mutexes(detector, 'a', 'b') as [Mutex, Mutex];
    await detector.runTask('both', async (task) => {
      for (const [first, second] of [
        [a, b],
        [b, a],
      ] as const) {
        const guard = await first.lock('1', { task });
        (await second.lock('2', { task })).release();
        guard.release();
      }
    });
    await settle();
    expect(incidents('lock-order-inversion')).toEqual([]);
    await take(detector, [a, b]);
    await settle();
    expect(incidents('lock-order-inversion')).toHaveLength(1);
  });

  test.each([
    ['only one task holds', ['gate', 'a', 'b'], ['b', 'a']],
    ['is acquired in between', ['a', 'gate', 'b'], ['b', 'gate', 'a']],
  ])('through a gate that %s', async (_, one, other) => {
    const { detector, incidents } = watched();
    const locks = new Map(mutexes(detector, 'gate', 'a', 'b').map((lock) => [lock.name, lock]));
    await take(
      detector,
      one.map((name) => locks.get(name)!),
    );
    await take(
      detector,
      other.map((name) => locks.get(name)!),
    );
    await settle();
    expect(incidents('lock-order-inversion').length).toBeGreaterThan(0);
  });

  test('behind two gates of one class', async () => {
    const { detector, incidents } = watched();
    const [a, b] = mutexes(detector, 'a', 'b') as [Mutex, Mutex];
    await take(detector, [new Mutex({ name: 'gate', key: '1', detector }), a, b]);
    await take(detector, [new Mutex({ name: 'gate', key: '2', detector }), b, a]);
    await settle();
    expect(incidents('lock-order-inversion')).toHaveLength(1);
  });

  test('behind a gate that is held shared', async () => {
    const { detector, incidents } = watched();
    const [a, b] = mutexes(detector, 'a', 'b') as [Mutex, Mutex];
    const shared = new RWLock({ name: 'gate', detector });
    for (const order of [
      [a, b],
      [b, a],
    ] as const) {
      await detector.runTask('reader', async (task) => {
        using _ = await shared.read('0', { task });
        const first = await order[0].lock('1', { task });
        (await order[1].lock('2', { task })).release();
        first.release();
      });
    }
    await settle();
    expect(incidents('lock-order-inversion')).toHaveLength(1);
  });
});

test('reports an inversion exactly when concurrent tasks can deadlock', async () => {
  // Each task acquires some of four locks, one inside the other, then releases all.
  const names = ['a', 'b', 'c', 'd'];
  const order = fc.shuffledSubarray(names, { minLength: 2 });
  await fc.assert(
    fc.asyncProperty(fc.array(order, { minLength: 2, maxLength: 5 }), async (orders) => {
      const { detector, incidents } = watched();
      const locks = new Map(mutexes(detector, ...names).map((lock) => [lock.name, lock]));
      for (const each of orders) {
        await take(
          detector,
          each.map((name) => locks.get(name)!),
        );
      }
      await settle();
      expect(incidents('lock-order-inversion').length > 0).toBe(canDeadlock(orders));
    }),
    { numRuns: 500 },
  );
});

/** Tries all interleavings. */
function canDeadlock(orders: readonly (readonly string[])[]): boolean {
  const known = new Set<string>();
  const search = (taken: number[]): boolean => {
    const key = taken.join();
    if (known.has(key)) return false;
    known.add(key);
    const held = new Set(
      orders.flatMap((order, i) => (taken[i]! < order.length ? order.slice(0, taken[i]) : [])),
    );
    const open = orders.flatMap((order, i) => (taken[i]! < order.length ? [i] : []));
    if (open.length === 0) return false;
    const able = open.filter((i) => !held.has(orders[i]![taken[i]!]!));
    if (able.length === 0) return true;
    return able.some((i) => search(taken.with(i, taken[i]! + 1)));
  };
  // A task that has all its locks releases them: `taken` equal to its length means it is done.
  return search(orders.map(() => 0));
}

describe('a guard handed over', () => {
  /** `opener` holds L and requests M, `other` holds M and waits for L. */
  async function crossed(handTo: 'timer' | 'other' | 'nobody') {
    const world = watched({ mode: 'strict' });
    const { detector } = world;
    const [l, m] = mutexes(detector, 'l', 'm') as [Mutex, Mutex];
    const opened = gate();
    const other = detector.runTask('other', async (task) => {
      using _ = await m.lock('other', { task });
      await opened.opened;
      (await l.lock('other', { task })).release();
    });
    const opener = detector.runTask('opener', async (task) => {
      const guard = await l.lock('opener', { task });
      if (handTo === 'timer') {
        guard.handTo(null);
        setTimeout(() => guard.release(), 100);
      }
      opened.open();
      await Promise.resolve();
      await Promise.resolve();
      (await m.lock('opener', { task })).release();
      guard.release();
    });
    other.catch(() => {});
    opener.catch(() => {});
    await vi.advanceTimersByTimeAsync(200);
    return { ...world, other, opener };
  }

  test('to a timer is no deadlock, and no wait is rejected', async () => {
    const { told, other, opener } = await crossed('timer');
    await Promise.all([other, opener]);
    expect(told.filter(({ kind }) => kind === 'deadlock')).toEqual([]);
  });

  test('to nobody is still a deadlock', async () => {
    const { incidents } = await crossed('nobody');
    expect(incidents('deadlock')).toMatchObject([{ certain: true }]);
  });

  test('to a task that waits for the waiting task closes a deadlock', async () => {
    const { detector, incidents } = watched();
    const [l, m] = mutexes(detector, 'l', 'm') as [Mutex, Mutex];
    const taken = await l.lock('nobody');
    void detector.runTask('holder', async (task) => {
      await m.lock('holder', { task });
      await l.lock('holder', { task });
    });
    await detector.runTask('second', async (task) => {
      void m.lock('second', { task });
      await settle();
      expect(incidents('deadlock')).toEqual([]);
      taken.handTo(task);
      await settle();
      expect(incidents('deadlock')).toMatchObject([{ certain: true }]);
      taken.handTo(null);
      expect(detector.metrics().deadlockedTasks).toBe(0);
      expect(detector.snapshot().held.map(({ task }) => task)).toContain(null);
    });
  });

  test('can be released by its current owner; handing over a released guard does nothing', async () => {
    const { detector } = watched();
    const [l] = mutexes(detector, 'l') as [Mutex];
    await detector.runTask('first', async (task) => {
      const guard = await l.lock('first', { task });
      await detector.runTask('second', (second) => {
        guard.handTo(second);
        guard.release();
        guard.handTo(task);
      });
      // It holds nothing now, so it may request the lock again.
      (await l.lock('again', { task })).release();
    });
    await settle();
    expect(detector.snapshot()).toMatchObject({ held: [], pending: [] });
    expect(detector.metrics().reports).toMatchObject({ deadlock: 0, 'recursive-lock': 0 });
  });
});

describe('awaiting a member while holding a lock that it needs', () => {
  test.each(['watch', 'strict'] as const)('is reported as a deadlock: %s', async (mode) => {
    const { detector, incidents } = watched({ mode });
    const [lock] = mutexes(detector, 'lock') as [Mutex];
    const group = new WaitGroup({ name: 'children', detector });
    const parent = detector.runTask('parent', async (task) => {
      using _ = await lock.lock('parent', { task });
      await group.go(
        'child',
        async (child) => {
          (await lock.lock('child', { task: child })).release();
        },
        { task },
      );
    });
    parent.catch(() => {});
    await settle();
    const [report] = incidents('deadlock');
    expect(report).toMatchObject({ certain: true });
    expect(report?.text).toContain('child');
    if (mode === 'watch') return;
    await expect(parent).rejects.toMatchObject({ code: 'lock_deadlock' });
    // The parent's lock is free again, so the child has acquired it.
    expect(group.size).toBe(0);
  });

  test('is not a deadlock if the lock is released first', async () => {
    const { detector, told } = watched({ mode: 'strict' });
    const [lock] = mutexes(detector, 'lock') as [Mutex];
    const group = new WaitGroup({ name: 'children', detector });
    await detector.runTask('parent', async (task) => {
      (await lock.lock('parent', { task })).release();
      const work = async () => (await lock.lock('child')).release();
      await group.go('child', work, { task });
    });
    await settle();
    expect(told).toEqual([]);
  });
});
