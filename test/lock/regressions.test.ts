/**
 * Shutdown hangs of other projects, reduced to this module; each test is named after its source. The
 * first miniredis bug is in seed-close.test.ts.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { LockClosedError, Mutex, RWLock, WaitGroup } from '../../src/lock/index.js';
import { follow, gate, watched } from './support.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const drain = () => new Promise<void>((resolve) => setImmediate(resolve));

test('miniredis d66fb3b: a second close, after an early return in the first, does not hang', async () => {
  const { detector } = watched({ mode: 'strict' });
  const lock = new Mutex({ name: 'server', detector });
  let server: string | null = 'listening';
  const close = async () => {
    using _ = await lock.lock('Server.close');
    if (server === null) return 'closed before';
    server = null;
    return 'closed';
  };
  expect(await Promise.all([close(), close()])).toEqual(['closed', 'closed before']);
  lock.close('closed');
  lock.close('closed again');
  await expect(lock.lock('late')).rejects.toThrow(LockClosedError);
});

test('miniredis #121: a blocking command is aborted by the signal of the close', async () => {
  const { detector, told } = watched();
  const commands = new WaitGroup({ name: 'commands', detector });
  const closing = new AbortController();
  const list = new Mutex({ name: 'list', detector });
  const held = await list.lock('someone');
  const blpop = [1, 2, 3].map((n) =>
    commands.go(`BLPOP ${n}`, (task) => list.lock('BLPOP', { task, signal: closing.signal })),
  );
  const ends = blpop.map(follow);
  const close = commands.wait();
  closing.abort(new Error('closing'));
  await close;
  expect(ends.map(({ error }) => error)).toEqual(Array(3).fill(new Error('closing')));
  held.release();
  expect(told).toEqual([]);
});

test('miniredis #151: the close also waits for a connection that arrives during it', async () => {
  const conns = new WaitGroup({ name: 'conns', detector: watched().detector });
  const first = conns.add('c1');
  const close = follow(conns.wait());
  const second = conns.add('c2');
  first();
  await drain();
  expect(close.settled).toBe(false);
  expect(conns.pending()).toEqual(['c2']);
  second();
  await drain();
  expect(close.settled).toBe(true);
});

test('miniredis #220: a signal that is already aborted is not missed', async () => {
  const { detector } = watched();
  const lock = new RWLock({ name: 'room', detector });
  const conns = new WaitGroup({ name: 'conns', detector });
  conns.add('c1');
  const held = await lock.write('holder');
  const signal = AbortSignal.abort(new Error('closing'));
  for (const wait of [
    lock.read('reader', { signal }),
    conns.wait({ signal }),
    detector.runTask('t', (task) => task.waitsOn('peer', new Promise(() => {}), { signal })),
  ]) {
    await expect(wait).rejects.toThrow('closing');
  }
  expect(detector.snapshot().pending).toEqual([]);
  held.release();
});

test('miniredis #300: a client that disconnects leaves the queue', async () => {
  const { detector } = watched();
  const lock = new RWLock({ name: 'room', detector });
  const reader = await lock.read('reader');
  const gone = new AbortController();
  const blocked = Array.from({ length: 5 }, () =>
    lock.write('BLPOP', { signal: gone.signal }).catch((error: Error) => error.message),
  );
  const behind = lock.read('behind');
  gone.abort(new Error('client gone'));
  expect(await Promise.all(blocked)).toEqual(Array(5).fill('client gone'));
  (await behind).release();
  reader.release();
  expect(lock.tryWrite('free')).not.toBeNull();
});

test('node-redis #3398: the last operation in flight fails, and the wait for it still resolves', async () => {
  const pool = new WaitGroup({ name: 'pool', detector: watched().detector });
  const { open, opened } = gate();
  const connect = follow(
    pool.go('connect', async () => {
      await opened;
      throw new Error('refused');
    }),
  );
  const close = pool.wait();
  open();
  await close;
  expect(connect.error).toEqual(new Error('refused'));
});

test('async-rwlock: a steady stream of readers does not starve a writer', async () => {
  const lock = new RWLock({ name: 'room', detector: watched().detector });
  let reader = await lock.read('reader');
  const add = follow(lock.write('Room.add'));
  for (let i = 0; i < 100; i += 1) {
    const next = lock.read('reader');
    reader.release();
    await drain();
    if (add.settled) return;
    reader = await next;
  }
  expect.unreachable('the writer never got the lock');
});

test('go-deadlock: a failed try does not make the detector forget the holder', async () => {
  const { detector } = watched();
  const lock = new Mutex({ name: 'a', detector });
  const guard = lock.tryLock('holder');
  expect(lock.tryLock('other')).toBeNull();
  expect(detector.snapshot().held).toMatchObject([{ site: 'holder' }]);
  guard?.release();
  expect(detector.snapshot().held).toEqual([]);
});

test('go-deadlock #46: a million holds and 5,000 locks leak nothing', async () => {
  const { detector } = watched();
  const shared = new RWLock({ name: 'shared', detector });
  const cycle = async (times: number) => {
    for (let i = 0; i < times; i += 1) {
      shared.tryRead('guard')?.release();
      if (i % 200 > 0) continue;
      const own = new RWLock({ name: 'room', key: `r${i}`, detector });
      own.withWriteSync('section', () => i);
      await detector.runTask('task', async (task) => {
        using _ = await shared.write('write', { task });
        using _2 = await own.write('write', { task });
        const waiting = shared.read('waiting');
        const stop = new AbortController();
        const aborted = shared.read('aborted', { signal: stop.signal }).catch(() => {});
        stop.abort();
        await aborted;
        void waiting.then((guard) => guard.release());
      });
    }
    await drain();
    collect();
    return process.memoryUsage().heapUsed;
  };
  const before = await cycle(50_000);
  const after = await cycle(1_000_000);
  expect(after - before).toBeLessThan(1_000_000);
  expect(detector.snapshot()).toMatchObject({ held: [], pending: [], orderEdges: 1 });
});

test('go-deadlock #46: an unused detector is garbage-collected', async () => {
  const use = async () => {
    const { detector } = watched({ checkIntervalMs: 1 });
    const lock = new RWLock({ name: 'room', detector });
    const guard = await lock.write('holder');
    const waiting = lock.read('waiter');
    guard.release();
    (await waiting).release();
    registry.register(detector, null);
  };
  let isCollected = false;
  const registry = new FinalizationRegistry(() => {
    isCollected = true;
  });
  await use();
  // Its timer stops with the first check that finds nothing. If the detector is never collected, this test times out.
  while (!isCollected) {
    await drain();
    collect();
  }
});
