/** Calls of a broker that answer, fail or hang: whatever they do, nothing of them is left (V8). */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { BrokerCalls } from '../../src/broker/calls.js';
import { Detector, WaitGroup } from '../../src/lock/index.js';
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
  const tasks = new WaitGroup({ name: 'tasks', detector: new Detector({ mode: 'strict' }) });
  return { calls: new BrokerCalls(broker, 5000, tasks), tasks };
}

const payload = { data: '1', from: null };

test.each([
  ['an answer', async () => ({ seq: 1, epoch: 'e' }), undefined],
  ['a failure', async () => Promise.reject(new Error('no')), 'broker_unavailable'],
])('the timer of a call goes with %s', async (_, answer, code) => {
  const { calls: broker, tasks } = calls(answer);
  const call = Promise.resolve(broker.publish('a', payload));
  expect(vi.getTimerCount()).toBe(1);
  if (code === undefined) await call;
  else await expect(call).rejects.toMatchObject({ code });
  expect([vi.getTimerCount(), tasks.size]).toEqual([0, 0]);
});

test('a call that hangs is over after its time, or at the end', async () => {
  const { calls: broker, tasks } = calls(() => new Promise(() => {}));
  const late = expect(broker.publish('a', payload)).rejects.toMatchObject({
    code: 'broker_uncertain',
    message: 'It may have been published, or not: no answer to publish within 5000 ms.',
  });
  await vi.advanceTimersByTimeAsync(5000);
  await late;
  const ended = expect(broker.publish('a', payload)).rejects.toMatchObject({
    code: 'shutting_down',
  });
  broker.abort();
  await ended;
  expect([vi.getTimerCount(), tasks.size]).toEqual([0, 0]);
});
