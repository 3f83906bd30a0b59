/**
 * A room that receives more from other nodes than this node can fan out: it holds a bounded amount and
 * announces exactly what its members do not get (V3, V4, V10, V23).
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Backlog } from '../../src/room/backlog.js';
import { FakeTransport } from '../support/fake-transport.js';
import { openCore, startCore } from '../support/virtual.js';

const LIMIT = 2048;
/** The largest message, its envelope, and a gap on each side. */
const SLACK = 800;
const data = (n: number, bytes: number) => JSON.stringify(`${n} ${'x'.repeat(bytes)}`);

async function room() {
  const world = startCore({ config: { roomBacklogBytes: LIMIT } });
  const peer = world.core.connect();
  peer.say({ type: 'join', room: 'a' });
  await world.settle();
  let published = 0;
  return {
    ...world,
    peer,
    publish(count: number) {
      for (let n = 0; n < count; n += 1) {
        published += 1;
        void world.core.broker.publish('a', { data: data(published, 100), from: null });
      }
    },
    told: () =>
      peer.transport.events.flatMap((event): (string | number)[] => {
        if (event.type === 'message') return [event.seq];
        return event.type === 'gap' ? [`${event.from}-${event.to} ${event.reason}`] : [];
      }),
  };
}

it('drops what exceeds the bound and announces it as one gap', async () => {
  const { core, publish, settle, told } = await room();
  publish(1000);
  expect(core.hub.rooms.get('a')?.backlogBytes).toBeLessThan(LIMIT + SLACK);
  expect(core.observer.totals.brokerLost).toBe(1000 - 11);
  await settle();
  publish(1);
  await settle();
  expect(told()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, '12-1000 node', 1001]);
  core.checkDrained();
});

it('announces to a member that joins during a gap only the rest of it', async () => {
  const { core, publish, settle, told } = await room();
  publish(100);
  const late = core.connect();
  late.say({ type: 'join', room: 'a' });
  publish(100);
  await settle();
  expect(told().at(-1)).toBe('12-200 node');
  expect(late.transport.events).toContainEqual({
    type: 'gap',
    room: 'a',
    from: 101,
    to: 200,
    count: 100,
    reason: 'node',
  });
  core.checkDrained();
});

it('announces losses of the broker and drops of this node separately', async () => {
  const { core, publish, settle, told } = await room();
  core.broker.lose('a', 3);
  publish(100);
  core.broker.lose('a', 2);
  publish(1);
  core.broker.reset('a', 50);
  publish(1);
  await settle();
  const [broker, ...rest] = told();
  expect(broker).toBe('1-3 broker');
  expect(rest.slice(-2)).toEqual(['15-106 node', '51-51 node']);
  expect(core.observer.totals.brokerLost).toBe(3 + 2 + (106 - 14 - 2) + 1);
  core.checkDrained();
});

it('drops messages while too far behind its broker, and turns members away before that', async () => {
  const { core, pass, publish, settle, told } = await room();
  const behind = async (ms: number) => {
    core.broker.lagMs = ms;
    await pass(100);
  };
  await behind(1000);
  expect(core.hub.isLagging).toBe(false);
  await behind(1001);
  expect(core.hub.isLagging).toBe(true);
  const refused = new FakeTransport({ name: 'websocket', framing: core.framing('websocket') });
  refused.sink = core.sessions.accept(refused);
  await settle();
  expect(refused.events).toContainEqual(expect.objectContaining({ type: 'closing', code: 4100 }));
  publish(1);
  await behind(5001);
  publish(2);
  await behind(0);
  publish(1);
  await settle();
  expect(core.hub.isLagging).toBe(false);
  expect(told()).toEqual([1, '2-3 node', 4]);
});

it('accounts for every message within its bound, with members joining, leaving and reading slowly', async () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ publish: fc.integer({ min: 1, max: 40 }) }) },
    { weight: 1, arbitrary: fc.record({ lose: fc.integer({ min: 1, max: 5 }) }) },
    { weight: 1, arbitrary: fc.record({ reset: fc.integer({ min: 0, max: 60 }) }) },
    { weight: 2, arbitrary: fc.record({ join: fc.constant(true) }) },
    { weight: 2, arbitrary: fc.record({ leave: fc.nat(5) }) },
    { weight: 3, arbitrary: fc.record({ turns: fc.integer({ min: 1, max: 3 }) }) },
    { weight: 1, arbitrary: fc.record({ lagMs: fc.constantFrom(0, 6000) }) },
  );
  let shed = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
      const { core, loop, settle, pass, close } = openCore({
        config: { roomBacklogBytes: LIMIT, queueMessages: 20 },
      });
      try {
        const stays = () => core.open.filter((peer) => peer.rooms.size > 0);
        const join = async () => {
          if (core.hub.isLagging) return;
          const peer = core.connect();
          peer.say({ type: 'join', room: 'a' });
          await Promise.resolve();
        };
        await join();
        await settle();
        let published = 0;
        let resets = 0;
        for (const each of steps) {
          if ('publish' in each) {
            for (let n = 0; n < each.publish; n += 1) {
              published += 1;
              void core.broker.publish('a', { data: data(published, n * 7), from: null });
            }
          } else if ('lose' in each) core.broker.lose('a', each.lose);
          else if ('reset' in each) {
            core.broker.reset('a', each.reset);
            resets += 1;
          } else if ('join' in each) await join();
          else if ('leave' in each) stays()[each.leave]?.say({ type: 'leave', room: 'a' });
          else if ('turns' in each) for (let n = 0; n < each.turns; n += 1) loop.turn();
          else {
            core.broker.lagMs = each.lagMs;
            await pass(100);
          }
          const bytes = core.hub.rooms.get('a')?.backlogBytes ?? 0;
          // A reset takes a frame of its own; it is as rare as a failover.
          expect(bytes).toBeLessThan(LIMIT + SLACK + resets * 200);
          core.check();
        }
        core.broker.lagMs = 0;
        await pass(100);
        await join();
        core.broker.admit('a');
        void core.broker.publish('a', { data: '"the last"', from: null });
        await settle();
        core.checkDrained();
        shed += stays().reduce((sum, { received }) => sum + received.gaps, 0);
      } finally {
        await close();
      }
    }),
    { numRuns: 100 },
  );
  expect(shed).toBeGreaterThan(0);
});

it('refuses local publishers and drops remote messages by the same rule', () => {
  const backlog = new Backlog({ roomBacklogBytes: 1000, queueBytesTotal: 2000 });
  for (let all = 0; all < 5000; all += 100) {
    backlog.bytes = all;
    for (let bytes = 0; bytes <= 1000; bytes += 100) {
      expect(backlog.isOver(bytes)).toBe(backlog.isFull(bytes));
    }
  }
  expect(backlog.isOver(1001)).toBe(true);
});
