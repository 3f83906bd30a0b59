import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { RWLock, WaitGroup } from '../../src/lock/index.js';
import { watched } from './support.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('is plain JSON of the locks held and waited for, oldest first', async () => {
  const { detector } = watched();
  const lobby = new RWLock({ name: 'room', key: 'chat:lobby', detector });
  const conns = new WaitGroup({ name: 'conns', detector });
  const reader = detector.newTask('reader');
  const writer = detector.newTask('writer');
  await lobby.read('Room.list', { task: reader });
  conns.add('c1');
  await vi.advanceTimersByTimeAsync(10);
  await lobby.read('anonymous');
  void lobby.write('Room.add', { task: writer, timeoutMs: 5_000 });
  await vi.advanceTimersByTimeAsync(5);
  void conns.wait();
  void reader.waitsOn('conn c1 drain', new Promise(() => {}));
  const picture = detector.snapshot();
  expect(JSON.parse(JSON.stringify(picture))).toEqual(picture);
  expect(picture).toMatchObject({
    mode: 'watch',
    held: [
      {
        lock: 'lock:room[chat:lobby]',
        mode: 'read',
        site: 'Room.list',
        task: reader.label,
        ageMs: 15,
      },
      { site: 'anonymous', task: null, ageMs: 5 },
    ],
    pending: [
      {
        on: 'lock:room[chat:lobby]',
        mode: 'write',
        site: 'Room.add',
        task: writer.label,
        ageMs: 5,
        timeoutMs: 5_000,
      },
      { on: 'waitgroup:conns', mode: null, task: null, timeoutMs: null },
      { on: 'conn c1 drain', mode: null, task: reader.label },
    ],
    edges: [
      { from: writer.label, to: 'lock:room[chat:lobby]' },
      { from: 'lock:room[chat:lobby]', to: reader.label },
      { from: 'lock:room[chat:lobby]', to: 'anonymous' },
      { from: 'conns.wait', to: 'waitgroup:conns' },
      { from: 'waitgroup:conns', to: 'c1' },
      { from: reader.label, to: 'conn c1 drain' },
      { from: 'conn c1 drain', to: 'external' },
    ],
    leftOut: { held: 0, pending: 0, edges: 0 },
    reports: [],
  });
});

test('the edges tell two locks of one class apart', async () => {
  const { detector } = watched();
  for (let i = 0; i < 2; i += 1) {
    const lock = new RWLock({ name: 'room', detector });
    await lock.write('holder');
    void lock.write('waiter');
  }
  expect(detector.snapshot().edges).toEqual([
    { from: 'waiter', to: 'lock:room' },
    { from: 'lock:room', to: 'holder' },
    { from: 'waiter', to: 'lock:room(2)' },
    { from: 'lock:room(2)', to: 'holder' },
  ]);
});

test('reports how many entries it leaves out', async () => {
  const { detector } = watched();
  const lock = new RWLock({ name: 'room', detector });
  for (let i = 0; i < 20; i += 1) await lock.read(`reader ${i}`);
  for (let i = 0; i < 20; i += 1) void lock.write(`writer ${i}`);
  const picture = detector.snapshot(5);
  expect(picture.held.map(({ site }) => site)).toEqual([0, 1, 2, 3, 4].map((i) => `reader ${i}`));
  expect(picture.pending).toHaveLength(5);
  expect(picture.edges).toHaveLength(5);
  expect(picture.leftOut).toEqual({ held: 15, pending: 15, edges: 35 });
});
