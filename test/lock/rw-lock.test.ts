import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import {
  AsyncCallbackError,
  LockBusyError,
  LockClosedError,
  LockOptionError,
  LockTimeoutError,
  RWLock,
} from '../../src/lock/index.js';

const lock = () => new RWLock({ name: 'test' });

/** Records the order in which waits are granted. */
function recorder() {
  const order: string[] = [];
  const note = (name: string) => () => {
    order.push(name);
  };
  return { order, note };
}

const drain = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('synchronous sections', () => {
  test('return what the callback returns, and release when it throws', () => {
    const l = lock();
    expect(l.withReadSync('read', () => 7)).toBe(7);
    expect(() =>
      l.withWriteSync('write', () => {
        throw new Error('mine');
      }),
    ).toThrow('mine');
    expect(l.withWriteSync('again', () => 'free')).toBe('free');
  });

  test('name the holder when the lock is taken', async () => {
    const l = lock();
    const guard = await l.write('Room.holder');
    const refused = () => l.withReadSync('Room.reader', () => 1);
    expect(refused).toThrow(LockBusyError);
    expect(refused).toThrow(/Room\.reader on lock:test \(read\).*held by Room\.holder/);
    guard.release();
    expect(refused()).toBe(1);
  });

  test('exclude other requests from inside the callback too, naming the section', () => {
    const l = lock();
    l.withReadSync('outer', () => {
      expect(l.withReadSync('inner', () => 1)).toBe(1);
      expect(l.tryRead('guard')?.release()).toBeUndefined();
      expect(l.tryWrite('guard')).toBeNull();
      expect(() => l.withWriteSync('inner', () => 1)).toThrow(/held by outer, which runs now/);
    });
    l.withWriteSync('outer', () => {
      expect(l.tryRead('guard')).toBeNull();
      expect(() => l.withReadSync('inner', () => 1)).toThrow(LockBusyError);
    });
    expect(l.tryWrite('after')).not.toBeNull();
  });

  test('grant requests made inside them when they end', async () => {
    const l = lock();
    let waiting: Promise<unknown> = Promise.resolve();
    l.withReadSync('outer', () => {
      l.withReadSync('inner', () => {
        waiting = l.write('writer');
      });
      expect(l.tryRead('behind the writer')).toBeNull();
    });
    await waiting;
    expect(l.tryRead('held')).toBeNull();
  });

  test('do not overtake a waiting writer', async () => {
    const l = lock();
    const reader = await l.read('first');
    const writer = l.write('writer');
    expect(() => l.withReadSync('late', () => 1)).toThrow(LockBusyError);
    reader.release();
    (await writer).release();
  });

  test('reject a promise at compile time and at run time, and release the lock', () => {
    const l = lock();
    // @ts-expect-error an async callback
    expect(() => l.withReadSync('async', async () => 1)).toThrow(AsyncCallbackError);
    // @ts-expect-error a callback that perhaps returns a promise
    l.withReadSync('perhaps', () => (l.name === '' ? Promise.resolve(1) : 1));
    try {
      l.withWriteSync('plain js', (() => Promise.resolve()) as unknown as () => number);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(TypeError);
      expect(error).toMatchObject({ code: 'lock_async_callback' });
    }
    expect(l.tryWrite('after')).not.toBeNull();
  });
});

describe('order', () => {
  test('is FIFO, with adjacent readers sharing', async () => {
    const l = lock();
    const { order, note } = recorder();
    const first = await l.write('w0');
    const waits = {
      r1: l.read('r1'),
      r2: l.read('r2'),
      w1: l.write('w1'),
      r3: l.read('r3'),
    };
    for (const [name, wait] of Object.entries(waits)) void wait.then(note(name));
    first.release();
    await drain();
    expect(order).toEqual(['r1', 'r2']);
    (await waits.r1).release();
    await drain();
    expect(order).toEqual(['r1', 'r2']);
    (await waits.r2).release();
    await drain();
    expect(order).toEqual(['r1', 'r2', 'w1']);
    (await waits.w1).release();
    await drain();
    expect(order).toEqual(['r1', 'r2', 'w1', 'r3']);
  });

  test('a failed try does not change the holder', async () => {
    const l = lock();
    const guard = await l.write('holder');
    expect(l.tryWrite('other')).toBeNull();
    expect(l.tryRead('other')).toBeNull();
    expect(() => l.withWriteSync('probe', () => 1)).toThrow(/held by holder/);
    guard.release();
    expect(l.tryRead('now')).not.toBeNull();
  });
});

describe('guards', () => {
  test('a second release does nothing, on any path', async () => {
    const l = lock();
    const first = await l.read('one');
    const second = await l.read('two');
    first.release();
    first.release();
    first[Symbol.dispose]();
    expect(l.tryWrite('writer')).toBeNull();
    second.release();
    const writer = l.tryWrite('writer');
    expect(writer).not.toBeNull();
    second.release();
    expect(l.tryRead('reader')).toBeNull();
  });

  test('using releases at the end of the block', () => {
    const l = lock();
    {
      using guard = l.tryWrite('block');
      expect(guard?.released).toBe(false);
    }
    expect(l.tryWrite('after')).not.toBeNull();
  });
});

describe('giving up', () => {
  test('an aborted wait leaves the queue', async () => {
    const l = lock();
    const reader = await l.read('reader');
    const stop = new AbortController();
    const writer = l.write('writer', { signal: stop.signal });
    const late = l.read('late');
    stop.abort(new Error('gone'));
    await expect(writer).rejects.toThrow('gone');
    // The queue between the two readers is empty again.
    (await late).release();
    reader.release();
    expect(l.tryWrite('free')).not.toBeNull();
  });

  test('an aborted signal is rejected at once, whether the lock is free or not', async () => {
    const reason = new Error('already');
    await expect(lock().read('x', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  test('a timeout names the holder', async () => {
    const l = lock();
    const guard = await l.write('Room.broadcast');
    const late = l.read('Room.add', { timeoutMs: 1 });
    await expect(late).rejects.toThrow(LockTimeoutError);
    await expect(late).rejects.toThrow(/Room\.add.*timeoutMs=1: .*held by Room\.broadcast/);
    guard.release();
    expect(l.tryWrite('free')).not.toBeNull();
  });

  test.each([-1, Number.NaN, 2 ** 31])('timeoutMs %s is rejected', async (timeoutMs) => {
    await expect(lock().read('x', { timeoutMs })).rejects.toThrow(LockOptionError);
  });

  test('an empty name is rejected', () => {
    expect(() => new RWLock({ name: '' })).toThrow(LockOptionError);
  });
});

describe('close', () => {
  test('rejects every current and later wait; existing guards stay valid', async () => {
    const l = lock();
    const guard = await l.write('holder');
    const waits = [l.read('a'), l.write('b'), l.read('c')];
    l.close('shutting down');
    l.close('again');
    for (const wait of waits) {
      await expect(wait).rejects.toThrow(LockClosedError);
      await expect(wait).rejects.toThrow('shutting down');
    }
    guard.release();
    await expect(l.read('late')).rejects.toMatchObject({ code: 'lock_closed' });
    expect(() => l.withReadSync('late', () => 1)).toThrow(LockClosedError);
    expect(l.tryRead('late')).toBeNull();
  });
});

test('many waits on one signal share one listener, removed with the last of them', async () => {
  const l = lock();
  const { signal } = new AbortController();
  const listeners = () => getEventListeners(signal, 'abort').length;
  const guard = await l.write('holder', { signal });
  expect(listeners()).toBe(0);
  const waits = Array.from({ length: 50 }, () => l.read('reader', { signal }));
  expect(listeners()).toBe(1);
  guard.release();
  for (const wait of waits) (await wait).release();
  expect(listeners()).toBe(0);
});

test('an abort rejects every wait of its signal, also those that an earlier abort would grant', async () => {
  const l = lock();
  const stop = new AbortController();
  const { signal } = stop;
  const guard = await l.read('holder');
  const waits = [
    l.write('first', { signal }),
    l.read('let in by the first', { signal }),
    l.write('third', { signal }),
  ];
  const other = l.read('not aborted');
  stop.abort('over');
  for (const wait of waits) await expect(wait).rejects.toBe('over');
  (await other).release();
  expect(getEventListeners(signal, 'abort')).toEqual([]);
  guard.release();
});
