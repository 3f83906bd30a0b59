import { expect, test } from 'vitest';
import { LockTimeoutError, WaitGroup } from '../../src/lock/index.js';

test('waits for every member, added by add() or go()', async () => {
  const group = new WaitGroup({ name: 'conns' });
  await group.wait();
  const done = group.add('c1');
  let finish = () => {};
  const gate = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const run = group.go('c2', async (task) => {
    expect(task.name).toBe('c2');
    await gate;
    return 5;
  });
  expect(group.size).toBe(2);
  expect(group.pending()).toEqual(['c1', 'c2']);
  let empty = false;
  const wait = group.wait().then(() => {
    empty = true;
  });
  done();
  done();
  expect(group.pending()).toEqual(['c2']);
  expect(empty).toBe(false);
  finish();
  expect(await run).toBe(5);
  await wait;
  expect(group.size).toBe(0);
});

test('a member that throws is removed, and its error rejects the promise of go()', async () => {
  const group = new WaitGroup({ name: 'conns' });
  const failed = group.go('bad', () => {
    throw new Error('mine');
  });
  await expect(failed).rejects.toThrow('mine');
  expect(group.size).toBe(0);
});

test('a timeout names the remaining members, an abort rejects with its reason', async () => {
  const group = new WaitGroup({ name: 'conns' });
  for (let i = 1; i <= 7; i += 1) group.add(`c${i}`);
  const late = group.wait({ timeoutMs: 1 });
  await expect(late).rejects.toThrow(LockTimeoutError);
  await expect(late).rejects.toThrow('7 members left (c1, c2, c3, c4, c5 and 2 more)');
  const reason = new Error('stop');
  await expect(group.wait({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  const stop = new AbortController();
  const waiting = group.wait({ signal: stop.signal });
  stop.abort(reason);
  await expect(waiting).rejects.toBe(reason);
});
