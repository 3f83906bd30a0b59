/** Broker calls that answer, fail or hang leave no timer or listener behind (V8). */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { BrokerCalls } from '../../src/broker/calls.js';
import { Detector, WaitGroup } from '../../src/lock/index.js';
import { Recorder } from '../../src/metrics/recorder.js';
import { ScriptedBroker } from '../support/scripted-broker.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function calls(answer: () => Promise<unknown>) {
  const broker = new ScriptedBroker();
  vi.spyOn(broker, 'publish').mockImplementation(answer as ScriptedBroker['publish']);
  vi.spyOn(broker, 'unsubscribe').mockImplementation(answer as ScriptedBroker['unsubscribe']);
  const tasks = new WaitGroup({ name: 'tasks', detector: new Detector({ mode: 'strict' }) });
  const counts = new Recorder();
  return { calls: new BrokerCalls(broker, 5000, tasks, counts), tasks, counts };
}

const payload = { data: '1', from: null };

test.each([
  ['an answer', async () => ({ seq: 1, epoch: 'e' }), undefined],
  ['a failure', async () => Promise.reject(new Error('no')), 'broker_unavailable'],
])('the timer of a call is cleared on %s', async (_, answer, code) => {
  const { calls: broker, tasks } = calls(answer);
  const call = Promise.resolve(broker.publish('a', payload));
  expect(vi.getTimerCount()).toBe(1);
  if (code === undefined) await call;
  else await expect(call).rejects.toMatchObject({ code });
  expect([vi.getTimerCount(), tasks.size]).toEqual([0, 0]);
});

test('a call that hangs ends at its timeout or at shutdown', async () => {
  const { calls: broker, tasks } = calls(() => new Promise(() => {}));
  const late = expect(broker.publish('a', payload)).rejects.toMatchObject({
    code: 'broker_uncertain',
    message: 'The message may or may not have been published: no answer to publish within 5000 ms.',
  });
  await vi.advanceTimersByTimeAsync(5000);
  await late;
  const ended = expect(broker.unsubscribe('a')).rejects.toMatchObject({ code: 'shutting_down' });
  const published = expect(broker.publish('a', payload)).rejects.toMatchObject({
    code: 'broker_uncertain',
  });
  broker.abort();
  await ended;
  // It may have been published by now: the shutdown waits for the answer as long as it can (V22).
  expect(tasks.size).toBe(1);
  broker.giveUp();
  await published;
  expect([vi.getTimerCount(), tasks.size]).toEqual([0, 0]);
});

test('the observer is notified of waits and of uncertain publishes', async () => {
  const { calls: broker, counts } = calls(() => new Promise(() => {}));
  const late = expect(broker.publish('a', payload)).rejects.toMatchObject({
    code: 'broker_uncertain',
  });
  await vi.advanceTimersByTimeAsync(5000);
  await late;
  expect(counts.totals.brokerUncertain).toBe(1);
  expect([...counts.brokerCallSeconds.sums]).toEqual([5, 0, 0, 0, 0, 0]);
  const { calls: sync, counts: none } = calls(() => ({ seq: 1, epoch: 'e' }) as never);
  expect(sync.publish('a', payload)).toEqual({ seq: 1, epoch: 'e' });
  expect(none.brokerCallSeconds.total()).toBe(0);
});

test('a publish pending at the start of a shutdown gets its real answer', async () => {
  let answer: (position: { seq: number; epoch: string }) => void = () => {};
  const { calls: broker } = calls(
    () =>
      new Promise((resolve) => {
        answer = resolve;
      }),
  );
  const published = broker.publish('a', payload);
  broker.abort();
  answer({ seq: 1, epoch: 'e' });
  expect(await published).toEqual({ seq: 1, epoch: 'e' });
});

test('each of many publishes has its own timeout, whatever the outcome of earlier ones (V8)', async () => {
  const answers: (() => void)[] = [];
  const {
    calls: broker,
    tasks,
    counts,
  } = calls(
    () =>
      new Promise((resolve) => {
        answers.push(() => resolve({ seq: 1, epoch: 'e' }));
      }),
  );
  const ends: [n: number, how: string, at: number][] = [];
  const began = performance.now();
  const publish = (n: number) => {
    const end = (how: string) => ends.push([n, how, performance.now() - began]);
    Promise.resolve(broker.publish('a', payload)).then(
      () => end('answered'),
      ({ code }) => end(code),
    );
  };
  for (let n = 0; n < 5; n += 1) {
    publish(n);
    await vi.advanceTimersByTimeAsync(1000);
  }
  expect([vi.getTimerCount(), tasks.pending()]).toEqual([1, ['broker publish']]);
  answers[1]?.();
  await vi.advanceTimersByTimeAsync(2500);
  answers[3]?.();
  // The answer was too late.
  answers[0]?.();
  await vi.advanceTimersByTimeAsync(2500);
  expect(ends).toEqual([
    [0, 'broker_uncertain', 5000],
    [1, 'answered', 5000],
    [2, 'broker_uncertain', 7000],
    [3, 'answered', 7500],
    [4, 'broker_uncertain', 9000],
  ]);
  // A late answer has no further effect.
  expect(counts.brokerCallSeconds.total()).toBe(5);
  expect([vi.getTimerCount(), tasks.size]).toEqual([0, 0]);
});

test('a shutdown waits for every pending publish, and refuses each as uncertain when it gives up', async () => {
  const { calls: broker, tasks } = calls(() => new Promise(() => {}));
  const codes = [1, 2, 3].map(() =>
    Promise.resolve(broker.publish('a', payload)).catch(({ code }) => code),
  );
  broker.abort();
  expect(tasks.pending()).toEqual(['broker publish']);
  broker.giveUp();
  expect(await Promise.all(codes)).toEqual(Array(3).fill('broker_uncertain'));
  expect(tasks.size).toBe(0);
});
