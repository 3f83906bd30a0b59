/** Workers outside of this process: orders, errors and losses. */
import { expect, test, vi } from 'vitest';
import { LoadError } from '../../src/load/error.js';
import { type Answer, type Order, type PortEvents, PortWorker } from '../../src/load/port.js';

/** A worker whose port the test controls. */
function worker() {
  let events!: PortEvents;
  const sent: Order[] = [];
  const disconnect = vi.fn();
  const made = new PortWorker(
    (reason) => new LoadError('worker_lost', `it was lost: ${reason}`),
    (given) => {
      events = given;
      return { send: (order) => void sent.push(order), disconnect };
    },
    () => {},
  );
  return {
    made,
    sent,
    disconnect,
    answer: (answer: Answer) => events.answer(answer),
    lose: (reason: string) => events.lost(reason),
  };
}

const of = (promise: Promise<unknown>): Promise<unknown> =>
  promise.catch((error: unknown) => error);

test('an error of a worker keeps its type', async () => {
  const { made, answer } = worker();
  const [first, second] = [of(made.connect()), of(made.connect())];
  answer({ id: 0, error: { code: 'bad_protocol', message: 'own.mjs: decode threw' } });
  answer({
    id: 1,
    error: { message: 'x is undefined', stack: 'TypeError: x is undefined\n    at there' },
  });
  expect(await first).toEqual(new LoadError('bad_protocol', 'own.mjs: decode threw'));
  const bug = (await second) as Error;
  expect(bug).not.toBeInstanceOf(LoadError);
  expect(bug.stack).toBe('TypeError: x is undefined\n    at there');
});

test('an exception outside of an order rejects every order with itself, not with the end of the worker', async () => {
  const { made, answer, lose } = worker();
  const running = of(made.connect());
  answer({ crashed: { message: 'thrown in a timer', stack: undefined } });
  lose('its process ended: exit code 1');
  expect(await running).toEqual(new Error('thrown in a timer'));
  expect(await of(made.connect())).toEqual(new Error('thrown in a timer'));
});

test('a lost worker rejects every order, and closes without an error', async () => {
  const { made, lose, disconnect } = worker();
  const running = of(made.connect());
  lose('SIGKILL');
  const lost = new LoadError('worker_lost', 'it was lost: SIGKILL');
  expect(await running).toEqual(lost);
  expect(await of(made.drain([], true))).toEqual(lost);
  await made.close();
  expect(disconnect).toHaveBeenCalled();
});

test('an error while closing is thrown, and the worker is released all the same', async () => {
  const { made, answer, disconnect } = worker();
  const closed = of(made.close());
  answer({ id: 0, error: { message: 'the proxy did not close', stack: undefined } });
  expect(await closed).toEqual(new Error('the proxy did not close'));
  expect(disconnect).toHaveBeenCalled();
});

test('a worker that is silent for 10 s hangs; one that reports that it is alive does not', async () => {
  vi.useFakeTimers();
  const { made, answer, disconnect } = worker();
  const running = of(made.connect());
  answer({ alive: true });
  for (let i = 0; i < 30; i++) {
    vi.advanceTimersByTime(9000);
    answer({ alive: true });
  }
  expect(disconnect).not.toHaveBeenCalled();
  vi.advanceTimersByTime(11_000);
  expect(await running).toEqual(
    new LoadError('worker_lost', 'it was lost: it has not answered for 10 s'),
  );
  expect(disconnect).toHaveBeenCalled();
  vi.useRealTimers();
});

test('messages that arrived while this process was blocked still count', async () => {
  vi.useFakeTimers();
  const { made, answer, disconnect } = worker();
  void of(made.connect());
  answer({ alive: true });
  vi.advanceTimersByTime(10_000);
  answer({ alive: true });
  vi.advanceTimersByTime(9000);
  expect(disconnect).not.toHaveBeenCalled();
  made.release();
  vi.useRealTimers();
});
