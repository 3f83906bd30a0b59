import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Detector, Mutex, type Task } from '../../src/lock/index.js';
import { pass, settle, watched } from './support.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** Causes one certain report and ends its cause. */
async function selfDeadlock(detector: Detector) {
  const lock = new Mutex({ name: 'a', detector });
  await detector.runTask('self', async (task) => {
    using _ = await lock.lock('first', { task });
    const stop = new AbortController();
    const again = lock.lock('again', { task, signal: stop.signal });
    stop.abort();
    await expect(again).rejects.toThrow();
  });
  await settle();
}

test('onReport is never called inside the operation that caused the report', async () => {
  const { detector, told } = watched();
  const lock = new Mutex({ name: 'a', detector });
  await detector.runTask('self', async (task: Task) => {
    await lock.lock('first', { task });
    void lock.lock('again', { task });
    expect(detector.snapshot().reports).toHaveLength(1);
    expect(told).toEqual([]);
  });
  await settle();
  expect(told).toHaveLength(1);
});

test('an onReport that throws or rejects is counted, and the next report is still delivered', async () => {
  const seen: string[] = [];
  const detector = new Detector({
    onReport: (report) => {
      seen.push(report.kind);
      if (seen.length === 1) throw new Error('mine');
      return Promise.reject(new Error('mine too'));
    },
  });
  for (let i = 0; i < 3; i += 1) {
    await selfDeadlock(detector);
  }
  expect(seen).toEqual(['deadlock', 'deadlock', 'deadlock']);
  expect(detector.snapshot().onReportErrors).toBe(3);
});

test('go-deadlock: an onReport that acquires the reported lock does no harm', async () => {
  const got: string[] = [];
  const detector: Detector = new Detector({
    onReport: (report) => {
      got.push(report.kind);
      void lock.lock('onReport').then((guard) => {
        got.push('acquired');
        guard.release();
      });
      got.push(lock.tryLock('onReport') === null ? 'busy' : 'free');
    },
  });
  const lock = new Mutex({ name: 'a', detector });
  const guard = await lock.lock('holder');
  await pass(1_000);
  expect(got).toEqual(['long-hold', 'busy']);
  guard.release();
  await settle();
  expect(got).toEqual(['long-hold', 'busy', 'acquired']);
  await pass(1_000);
  expect(detector.snapshot()).toMatchObject({ held: [], pending: [], onReportErrors: 0 });
});

test('a recurring event is one incident, reported again after 10 s at the earliest', async () => {
  const { detector, told } = watched();
  const outer = new Mutex({ name: 'a', detector });
  const nest = async () => {
    await detector.runTask('t', async (task) => {
      using _ = await outer.lock('site', { task });
      await task.waitsOn('room in the queue', Promise.resolve(), { owner: task }).catch(() => {});
    });
    await settle();
  };
  for (let i = 0; i < 5; i += 1) await nest();
  const waits = () => told.filter(({ kind }) => kind === 'wait-while-holding');
  expect(waits()).toHaveLength(1);
  await pass(10_000);
  await nest();
  expect(waits().map(({ count }) => count)).toEqual([1, 6]);
  expect(new Set(waits().map(({ id }) => id)).size).toBe(1);
});

test('of more than 100 reports at once the rest is counted only; the last 100 are kept', async () => {
  const { detector, told } = watched();
  for (let i = 0; i < 150; i += 1) {
    void detector.runTask('self', async (task) => {
      const lock = new Mutex({ name: 'a', detector });
      lock.tryLock('first', task);
      void lock.lock('again', { task });
    });
  }
  await settle();
  expect(told).toHaveLength(100);
  const { reports, untold } = detector.snapshot();
  expect({ reports: reports.length, untold }).toEqual({ reports: 100, untold: 50 });
  expect(detector.metrics().reports.deadlock).toBe(150);
});

test('without onReport a report is a process warning', async () => {
  const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  await selfDeadlock(new Detector());
  expect(warn).toHaveBeenCalledOnce();
  const [text, options] = warn.mock.calls[0] ?? [];
  expect(text).toMatch(/^DEADLOCK \(certain\)/);
  expect(options).toMatchObject({
    type: 'LockReport',
    code: 'deadlock',
    detail: expect.stringMatching(
      /^self#\d+ requested at\n +at Mutex\.lock .*\n +at .*incidents\.test\.ts/,
    ),
  });
});
