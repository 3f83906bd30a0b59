import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  DeadlockError,
  Detector,
  type Guard,
  LockOptionError,
  LockTimeoutError,
  Mutex,
  RWLock,
  type Task,
  WaitGroup,
} from '../../src/lock/index.js';
import { follow, gate, pass, settle, watched } from './support.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A task that never ends, for tests that request locks one by one. */
function actor(detector: Detector, name: string): Task {
  let task: Task | undefined;
  void detector.runTask(name, (own) => {
    task = own;
    return new Promise(() => {});
  });
  return task as Task;
}

describe('deadlock', () => {
  test('of two tasks that acquire two locks in opposite orders', async () => {
    const { detector, incidents } = watched();
    const a = new Mutex({ name: 'a', detector });
    const b = new Mutex({ name: 'b', detector });
    const [one, two] = [actor(detector, 'one'), actor(detector, 'two')];
    await a.lock('one', { task: one });
    await b.lock('two', { task: two });
    void b.lock('one', { task: one });
    expect(detector.metrics().reports.deadlock).toBe(0);
    void a.lock('two', { task: two });
    await settle();
    const [report] = incidents('deadlock');
    expect(report?.chain).toEqual([one.label, 'b', two.label, 'a', one.label]);
    expect(report?.text).toContain('hint: acquire these in the same order everywhere: a, b.');
  });

  test('of one task: a lock is not re-entrant', async () => {
    const { detector, incidents } = watched({ mode: 'strict' });
    const lock = new RWLock({ name: 'room', key: 'chat:lobby', detector });
    const run = detector.runTask('Room.add', async (task) => {
      using _ = await lock.write('Room.add', { task });
      await lock.write('Room.notify', { task });
    });
    await expect(run).rejects.toThrow(DeadlockError);
    await settle();
    const [report] = incidents('deadlock');
    expect(report?.text).toMatch(/ 1 task waits for itself, /);
    expect(report?.text).toContain(
      'has held lock:room[chat:lobby] (write) for 0 ms, acquired at Room.add',
    );
    expect(report?.text).toContain('lock:room[chat:lobby] is not re-entrant');
    expect(lock.tryWrite('after')).not.toBeNull();
  });

  test('go-deadlock: a second read by one task, behind a queued writer', async () => {
    const { detector, incidents } = watched();
    const lock = new RWLock({ name: 'room', detector });
    const reader = actor(detector, 'reader');
    await lock.read('first', { task: reader });
    void lock.write('writer');
    expect(detector.metrics().reports).toMatchObject({ deadlock: 0, 'recursive-lock': 0 });
    void lock.read('second', { task: reader });
    await settle();
    expect(incidents('deadlock')).toHaveLength(1);
    expect(incidents('deadlock')[0]?.text).toContain('blocked behind it: 1 more wait');
  });

  test('go-deadlock #47: through any of several readers', async () => {
    const { detector, incidents } = watched();
    const a = new RWLock({ name: 'a', detector });
    const b = new Mutex({ name: 'b', detector });
    const [first, second, writer] = ['first', 'second', 'writer'].map((n) => actor(detector, n));
    await a.read('first', { task: first });
    await a.read('second', { task: second });
    await b.lock('writer', { task: writer });
    void a.write('writer', { task: writer });
    void b.lock('second', { task: second });
    await settle();
    expect(incidents('deadlock')[0]?.tasks).toEqual([writer?.label, second?.label]);
  });

  test('of a task that waits for the group it is a member of', async () => {
    const { detector, incidents } = watched({ mode: 'strict' });
    const group = new WaitGroup({ name: 'conns', detector });
    const member = group.go('c1', (task) => group.wait({ task }));
    await expect(member).rejects.toThrow(DeadlockError);
    await group.wait();
    await settle();
    expect(incidents('deadlock')[0]?.text).toContain('leave conns before waiting for it');
  });

  test('closed by adding a member instead of a wait', async () => {
    const { detector, incidents } = watched();
    const group = new WaitGroup({ name: 'conns', detector });
    const lock = new Mutex({ name: 'server', detector });
    const [close, handler] = [actor(detector, 'close'), actor(detector, 'handler')];
    await lock.lock('close', { task: close });
    group.add('c1');
    void group.wait({ task: close });
    void lock.lock('handler', { task: handler });
    await settle();
    expect(incidents('deadlock')).toEqual([]);
    group.add('c2', handler);
    await settle();
    expect(incidents('deadlock')).toHaveLength(1);
  });

  test('of a producer that waits for a queue whose consumer waits for the producer', async () => {
    const { detector, incidents } = watched({ mode: 'strict' });
    const lock = new Mutex({ name: 'room', detector });
    const [producer, consumer] = [actor(detector, 'producer'), actor(detector, 'consumer')];
    const guard = await lock.lock('producer', { task: producer });
    const space = gate();
    const full = follow(producer.waitsOn('space in queue', space.opened, { owner: consumer }));
    const refused = lock.lock('consumer', { task: consumer });
    await expect(refused).rejects.toThrow(/serves space in queue; waits for lock:room/);
    await settle();
    expect(incidents('wait-while-holding')).toHaveLength(1);
    space.open();
    await settle();
    expect(full).toMatchObject({ settled: true, error: undefined });
    guard.release();
  });

  test('matrixai: a chain of waits without a cycle is not reported', async () => {
    const { detector, told } = watched();
    const locks = ['a', 'b', 'c'].map((name) => new Mutex({ name, detector }));
    const tasks = ['one', 'two', 'three'].map((name) => actor(detector, name));
    const guards: Guard[] = [];
    for (const [i, lock] of locks.entries()) {
      guards.push(await lock.lock('first', { task: tasks[i] }));
    }
    // one waits for two, two waits for three, and three runs.
    const waits = [0, 1].map((i) => locks[i + 1]?.lock('second', { task: tasks[i] }));
    await settle();
    expect(told).toEqual([]);
    guards[2]?.release();
    (await waits[1])?.release();
    guards[1]?.release();
    (await waits[0])?.release();
    expect(told).toEqual([]);
  });

  test('a cycle in which one wait times out is not a deadlock', async () => {
    const { detector, told, incidents } = watched({ mode: 'strict' });
    const a = new Mutex({ name: 'a', detector });
    const b = new Mutex({ name: 'b', detector });
    const [one, two] = [actor(detector, 'one'), actor(detector, 'two')];
    const guard = await a.lock('one', { task: one });
    await b.lock('two', { task: two });
    const late = expect(b.lock('one', { task: one, timeoutMs: 500 })).rejects.toThrow(
      LockTimeoutError,
    );
    const other = follow(a.lock('two', { task: two }));
    await settle();
    expect(told.map(({ kind }) => kind)).toEqual(['lock-order-inversion', 'timed-cycle']);
    expect(incidents('timed-cycle')[0]?.text).toMatch(/^CYCLE \(will resolve by timeout\)/);
    expect(incidents('timed-cycle')[0]?.certain).toBe(false);
    await pass(500);
    await late;
    guard.release();
    await settle();
    expect(other).toMatchObject({ settled: true, error: undefined });
  });

  test('nor is a reader behind a writer that times out', async () => {
    const { detector, incidents } = watched({ mode: 'strict' });
    const lock = new RWLock({ name: 'room', detector });
    const reader = actor(detector, 'reader');
    await lock.read('first', { task: reader });
    const late = expect(lock.write('writer', { timeoutMs: 500 })).rejects.toThrow(LockTimeoutError);
    const second = follow(lock.read('second', { task: reader }));
    await pass(500);
    await late;
    expect(second).toMatchObject({ settled: true, error: undefined });
    expect(incidents('deadlock')).toEqual([]);
    expect(incidents('timed-cycle')).toHaveLength(1);
  });

  test('a task with two waits at once is not sequential: its branches may help each other', async () => {
    const { detector, incidents } = watched();
    const a = new Mutex({ name: 'a', detector });
    const b = new Mutex({ name: 'b', detector });
    const c = new Mutex({ name: 'c', detector });
    const [one, two] = [actor(detector, 'one'), actor(detector, 'two')];
    const held = await c.lock('elsewhere');
    await a.lock('one', { task: one });
    await b.lock('two', { task: two });
    void c.lock('one, branch 1', { task: one });
    void b.lock('one, branch 2', { task: one });
    void a.lock('two', { task: two });
    await settle();
    expect(incidents('deadlock')).toEqual([]);
    // Branch 1 got its lock: the remaining wait makes the task sequential again, and stuck.
    held.release();
    await settle();
    expect(incidents('deadlock')).toHaveLength(1);
  });

  test('is over when one of its waits ends; a new one is a new incident', async () => {
    const { detector, incidents } = watched();
    const lock = new Mutex({ name: 'a', detector });
    const task = actor(detector, 'one');
    const guard = await lock.lock('first', { task });
    for (const n of [1, 2]) {
      const stop = new AbortController();
      const again = expect(lock.lock('again', { task, signal: stop.signal })).rejects.toThrow();
      expect(detector.metrics().deadlockedTasks).toBe(1);
      stop.abort();
      await again;
      await settle();
      expect(detector.metrics().deadlockedTasks).toBe(0);
      expect(incidents('deadlock')).toHaveLength(n);
    }
    guard.release();
  });

  test('strict: withdrawing a wait grants others before any search runs through it', async () => {
    const { detector, incidents } = watched({ mode: 'strict' });
    const lock = new RWLock({ name: 'room', detector });
    const other = new Mutex({ name: 'other', detector });
    const [reader, writer, late] = ['reader', 'writer', 'late'].map((n) => actor(detector, n));
    await lock.read('reader', { task: reader });
    await other.lock('writer', { task: writer });
    const stop = new AbortController();
    const gone = follow(lock.write('writer', { task: writer, signal: stop.signal }));
    const next = lock.read('late', { task: late });
    void other.lock('late', { task: late });
    stop.abort();
    await expect(next).resolves.toBeDefined();
    await settle();
    expect(gone.settled).toBe(true);
    expect(incidents('deadlock')).toEqual([]);
  });
});

describe('suspected', () => {
  test('recursive-lock: a read within a read of one task', async () => {
    const { detector, incidents } = watched();
    const lock = new RWLock({ name: 'room', detector });
    const task = actor(detector, 'list');
    await lock.read('outer', { task });
    for (let i = 0; i < 3; i += 1) await lock.read('inner', { task });
    await lock.read('someone else', { task: actor(detector, 'other') });
    await lock.read('anonymous');
    await settle();
    const [report, ...more] = incidents('recursive-lock');
    expect(more).toEqual([]);
    expect(report).toMatchObject({ certain: false, over: true });
    expect(detector.snapshot().reports[0]?.count).toBe(3);
    expect(report?.text).toContain(
      `task ${task.label} has held lock:room (read) for 0 ms, acquired at outer, and acquires it again at inner`,
    );
  });

  test('wait-while-holding: a group awaited with a lock held', async () => {
    const { detector, incidents } = watched();
    const lock = new Mutex({ name: 'server', detector });
    const group = new WaitGroup({ name: 'conns', detector });
    const task = actor(detector, 'close');
    const guard = await lock.lock('Server.close', { task });
    await group.wait({ task });
    await settle();
    expect(incidents('wait-while-holding')).toEqual([]);
    group.add('c1');
    void group.wait({ task });
    await settle();
    expect(incidents('wait-while-holding')[0]?.text).toContain('and now waits for waitgroup:conns');
    guard.release();
  });

  test('tracing-mutex: an order reversed over three classes is reported with the whole cycle', async () => {
    const { detector, incidents } = watched();
    const [a, b, c] = ['a', 'b', 'c'].map((name) => new Mutex({ name, detector }));
    const pairs = [
      [a, b],
      [b, c],
      [c, a],
    ];
    for (const [first, second] of pairs) {
      await detector.runTask('worker', async (task) => {
        using _1 = await first?.lock(`first`, { task });
        using _2 = await second?.lock(`second`, { task });
      });
    }
    await settle();
    const [report, ...more] = incidents('lock-order-inversion');
    expect(more).toEqual([]);
    expect(report?.chain).toEqual(['a', 'b', 'c', 'a']);
    expect(report?.tasks).toHaveLength(3);
    expect(report?.text).toMatch(
      /c before a: worker#\d+ acquired c at first, then requested a at second/,
    );
    expect(detector.snapshot().orderEdges).toBe(3);
  });

  test('lock order is by class: other instances can reverse it, two of one class do not', async () => {
    const { detector, incidents } = watched();
    const nest = async (outer: string, inner: string) => {
      await detector.runTask('worker', async (task) => {
        using _1 = await new Mutex({ name: outer, detector }).lock('first', { task });
        using _2 = await new Mutex({ name: inner, detector }).lock('second', { task });
      });
      await settle();
    };
    await nest('room', 'room');
    await nest('room', 'member');
    expect(incidents('lock-order-inversion')).toEqual([]);
    await nest('member', 'room');
    expect(incidents('lock-order-inversion')).toHaveLength(1);
    await nest('member', 'room');
    expect(incidents('lock-order-inversion')[0]?.count).toBe(1);
  });

  test('lock order learns at most maxOrderEdges pairs, and nothing if it is off', async () => {
    for (const [options, expected] of [
      [{ maxOrderEdges: 3 }, 3],
      [{ lockOrder: false }, 0],
    ] as const) {
      const { detector } = watched(options);
      const task = actor(detector, 'worker');
      for (let i = 0; i < 10; i += 1) {
        await new Mutex({ name: `class ${i}`, detector }).lock('site', { task });
      }
      expect(detector.snapshot().orderEdges).toBe(expected);
    }
  });

  test('go-deadlock #4: read locks in opposite orders count, since a writer may queue between', async () => {
    const { detector, incidents } = watched();
    const [a, b] = ['a', 'b'].map((name) => new RWLock({ name, detector }));
    for (const [first, second] of [
      [a, b],
      [b, a],
    ]) {
      await detector.runTask('reader', async (task) => {
        using _1 = await first?.read('first', { task });
        using _2 = await second?.read('second', { task });
      });
    }
    await settle();
    expect(incidents('lock-order-inversion')).toHaveLength(1);
  });
});

describe('ambient tasks', () => {
  test('are found without being passed, and a child has a longer name', async () => {
    const { detector, incidents } = watched({ ambientTasks: true });
    const lock = new Mutex({ name: 'server', detector });
    const group = new WaitGroup({ name: 'conns', detector });
    const { open, opened } = gate();
    void group.go('DEL', async () => {
      await opened;
      await detector.runTask('inner', () => lock.lock('DEL'));
    });
    void detector.runTask('close', async () => {
      await lock.lock('close');
      open();
      await group.wait();
    });
    await settle();
    // The inner task does not inherit its parent's holds, so it does not close the cycle.
    expect(incidents('deadlock')).toEqual([]);
    expect(detector.snapshot().pending.map(({ task }) => task)).toEqual([
      expect.stringMatching(/^close#/),
      expect.stringMatching(/^DEL\/inner#/),
    ]);
  });

  test('codex-multi-auth #505: branches of one task look alike, so nothing is certain', async () => {
    const { detector, incidents } = watched({ ambientTasks: true, mode: 'strict' });
    const lock = new Mutex({ name: 'file', detector });
    let writes = 0;
    await detector.runTask('save', () =>
      Promise.all(
        [1, 2, 3].map(async () => {
          using _ = await lock.lock('save');
          writes += 1;
        }),
      ),
    );
    expect(writes).toBe(3);
    await settle();
    expect(incidents('deadlock').length).toBeGreaterThan(0);
    for (const report of incidents('deadlock')) {
      expect(report).toMatchObject({ certain: false });
      expect(report.text).toMatch(/^DEADLOCK \(suspected\)/);
    }
  });
});

describe('options', () => {
  test.each([
    [{ mode: 'loud' as 'watch' }, 'mode is "loud": expected off, watch or strict'],
    [{ captureStacks: 'all' as 'never' }, 'captureStacks is "all"'],
    [{ longHoldMs: 0 }, 'longHoldMs is 0'],
    [{ deadlockTimeoutMs: Number.NaN }, 'deadlockTimeoutMs'],
    [{ checkIntervalMs: 0.5 }, 'checkIntervalMs is 0.5'],
    [{ checkIntervalMs: 2 ** 31 }, 'checkIntervalMs'],
    [{ maxOrderEdges: 0 }, 'maxOrderEdges is 0'],
    [{ stackDepth: 1.5 }, 'stackDepth is 1.5'],
  ])('%o is rejected', (options, message) => {
    expect(() => new Detector(options)).toThrow(LockOptionError);
    expect(() => new Detector(options)).toThrow(message);
  });

  test('off: locks work, and nothing is tracked', async () => {
    const { detector, told } = watched({ mode: 'off' });
    const lock = new RWLock({ name: 'room', detector });
    const task = actor(detector, 'one');
    const guard = await lock.write('holder', { task });
    const wait = follow(lock.write('waiter', { task }));
    await pass(60_000);
    expect(detector.snapshot()).toMatchObject({ mode: 'off', held: [], pending: [] });
    guard.release();
    await settle();
    expect(wait.settled).toBe(true);
    expect(told).toEqual([]);
    expect(detector.metrics().locks[0]?.acquisitions.immediate).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('toggled while locks are held: what began untracked stays so, nothing leaks', async () => {
    const { detector, told } = watched({ mode: 'off' });
    const lock = new RWLock({ name: 'room', detector });
    const unknown = await lock.read('unknown');
    detector.configure({ mode: 'watch' });
    const known = await lock.read('known');
    const waiting = lock.write('waiter');
    await pass(1_000);
    expect(told[0]?.text).toContain('held by known, and by 1 other');
    known.release();
    detector.configure({ mode: 'off' });
    unknown.release();
    (await waiting).release();
    await pass(2_000);
    expect(detector.snapshot()).toMatchObject({ held: [], pending: [] });
    expect(vi.getTimerCount()).toBe(0);
  });

  test('captureStacks never: sites only', async () => {
    const { detector } = watched({ captureStacks: 'never' });
    const lock = new Mutex({ name: 'a', detector });
    const task = actor(detector, 'one');
    await lock.lock('first', { task });
    void lock.lock('second', { task });
    expect(detector.snapshot().reports[0]?.stacks).toEqual([]);
  });
});
