/** Several workers: what happens to the others when one is lost, or fails. */
import { expect, test } from 'vitest';
import type { Agents } from '../../src/load/agent/agents.js';
import { Fleet } from '../../src/load/fleet.js';
import { resolvePlan } from '../../src/load/plan.js';
import type { Order, PortEvents } from '../../src/load/port.js';
import { FAKE_SPEC } from '../support/load-fakes.js';

/** Workers whose ports the test controls; each answers at once as the test specifies. */
async function fleet(
  workers: number,
  answers: (order: Order, worker: number) => unknown,
  onPort: (worker: number, events: PortEvents) => void = () => {},
) {
  const events: PortEvents[] = [];
  const steps: string[][] = Array.from({ length: workers }, () => []);
  const agents = {
    theirs: (_: number, epoch: number) => epoch,
    nameOf: (worker: number) => `a${worker}`,
    port(worker: number, given: PortEvents) {
      events[worker] = given;
      onPort(worker, given);
      return {
        send(order: Order) {
          steps[worker]!.push(order.step);
          const result = answers(order, worker);
          if (result instanceof Error) {
            const error = { message: result.message, stack: undefined };
            queueMicrotask(() => given.answer({ id: order.id, error }));
          } else if (result !== 'never') {
            queueMicrotask(() => given.answer({ id: order.id, result }));
          }
        },
        disconnect() {},
      };
    },
  } as unknown as Agents;
  const plan = resolvePlan({ members: '6' }, FAKE_SPEC, workers, 'abcd');
  const opened = await Fleet.open(plan, 0, () => {}, agents);
  return { opened, steps, lose: (worker: number, why: string) => events[worker]!.lost(why) };
}

const SENT = { stoppedAt: 5, byPublisher: [[0, 1]], finals: [], asked: 1, confirmed: 1 };

test('a lost worker stops the others, which make the remaining steps without it', async () => {
  const pending = new Set<number>();
  const { opened, steps, lose } = await fleet(3, ({ step }, worker) => {
    if (step === 'run') pending.add(worker);
    return step === 'run' && worker === 1 ? 'never' : SENT;
  });
  await opened.connect();
  const running = opened.run(0);
  lose(1, 'SIGKILL');
  expect(await running).toEqual({
    stoppedAt: 5,
    byPublisher: [
      [0, 1],
      [0, 1],
    ],
    finals: [],
    asked: 2,
    confirmed: 2,
  });
  expect(pending.size).toBe(3);
  expect(opened.lost).toBe('agent a1 was lost: SIGKILL');
  await opened.drain([], true);
  await opened.close();
  const others = ['create', 'connect', 'run', 'stop', 'drain', 'close'];
  expect(steps).toEqual([others, ['create', 'connect', 'run'], others]);
});

test('an error other than a loss is thrown, and so is one while closing', async () => {
  const { opened } = await fleet(2, ({ step }, worker) =>
    (step === 'connect' || step === 'close') && worker === 1 ? new Error(`no ${step}`) : undefined,
  );
  await expect(opened.connect()).rejects.toThrow('no connect');
  await expect(opened.close()).rejects.toThrow('no close');
  expect(opened.lost).toBeNull();
});

test('one that is lost before the others are there stops them all the same', async () => {
  const { opened, steps } = await fleet(
    2,
    (_, worker) => (worker === 0 ? SENT : 'never'),
    (worker, events) => {
      if (worker === 1) queueMicrotask(() => events.lost('SIGKILL'));
    },
  );
  expect(opened.lost).toBe('agent a1 was lost: SIGKILL');
  // The first came before it was created, and was lost on it.
  expect(steps[0]).toEqual(['create', 'stop', 'stop']);
});
