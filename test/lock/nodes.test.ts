import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { LockOptionError, LockTimeoutError, runTask } from '../../src/lock/index.js';
import { follow, gate, settle, watched } from './support.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('runTask runs at once, numbers the task, and passes on its result or error', async () => {
  const order: string[] = [];
  const run = runTask('Room.join', async (task) => {
    order.push('inside');
    expect(task.name).toBe('Room.join');
    expect(task.label).toMatch(/^Room\.join#\d+$/);
    return 7;
  });
  order.push('outside');
  expect(order).toEqual(['inside', 'outside']);
  expect(await run).toBe(7);
  const thrown = runTask('bad', () => {
    throw new Error('mine');
  });
  await expect(thrown).rejects.toThrow('mine');
});

test('waitsOn settles as its promise does and is pending meanwhile', async () => {
  const { detector } = watched();
  await detector.runTask('writer', async (task) => {
    const drain = gate();
    const value = task.waitsOn(
      'conn c1 drain',
      drain.opened.then(() => 'drained'),
    );
    expect(detector.snapshot().pending).toMatchObject([{ on: 'conn c1 drain', task: task.label }]);
    drain.open();
    expect(await value).toBe('drained');
    const failed = task.waitsOn('conn c1 drain', Promise.reject(new Error('reset')));
    await expect(failed).rejects.toThrow('reset');
    expect(detector.snapshot().pending).toEqual([]);
  });
});

test('waitsOn times out or aborts, and a later rejection of the promise is ignored', async () => {
  const { detector } = watched();
  const task = detector.newTask('writer');
  const slow = new Promise((_, reject) => {
    setTimeout(() => reject(new Error('much later')), 60_000);
  });
  const late = follow(task.waitsOn('conn c1 drain', slow, { timeoutMs: 10 }));
  const stop = new AbortController();
  const aborted = follow(task.waitsOn('conn c1 drain', slow, { signal: stop.signal }));
  const before = follow(task.waitsOn('conn c1', slow, { signal: AbortSignal.abort('no') }));
  stop.abort(new Error('closing'));
  await vi.advanceTimersByTimeAsync(10);
  expect(late.error).toBeInstanceOf(LockTimeoutError);
  expect(String(late.error)).toMatch(/writer#\d+, waiting for conn c1 drain, timed out after/);
  expect(aborted.error).toEqual(new Error('closing'));
  expect(before.error).toBe('no');
  expect(detector.snapshot().pending).toEqual([]);
  await vi.advanceTimersByTimeAsync(60_000);
  await settle();
  await expect(task.waitsOn('x', slow, { timeoutMs: -1 })).rejects.toThrow(LockOptionError);
});
