import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Share } from '../../../src/broker/broker.js';
import { RedisBoard } from '../../../src/broker/redis/board.js';
import { ALIVE } from '../../../src/broker/redis/board-scripts.js';
import { Keys } from '../../../src/broker/redis/keys.js';
import type { Link } from '../../../src/broker/redis/link.js';
import type { Script } from '../../../src/broker/redis/scripts.js';
import { boardContract } from '../../contract/board.js';
import { RedisNode } from '../../support/redis-node.js';
import { hasRedis, type RedisServer, startRedis } from '../../support/redis-server.js';

describe.skipIf(!hasRedis)('Redis', () => {
  let redis: RedisServer;
  let clusters = 0;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(async () => {
    await redis.close();
  });

  boardContract(
    'Redis',
    async (count) => {
      clusters += 1;
      const clusterName = `b${clusters}`;
      const nodes = Array.from(
        { length: count },
        () => new RedisNode({ url: redis.url, clusterName, positionCheckMs: 200 }),
      );
      await Promise.all(nodes.map((node) => node.up()));
      return {
        boards: nodes.map(({ broker }) => broker.board),
        async kill(node) {
          const { broker } = nodes[node] as RedisNode;
          await broker.close();
          await redis.ask('DEL', `rc1:${clusterName}:n:${broker.node}`);
        },
        // Loses the next change to each of two nodes.
        async cut() {
          for (const { broker } of nodes.slice(0, 2)) {
            const board = broker.board as RedisBoard;
            board.message = () => {
              board.message = RedisBoard.prototype.message;
            };
          }
        },
        close: async () => {
          await Promise.all(nodes.map(({ broker }) => broker.close()));
        },
      };
    },
    { runs: 20 },
  );

  it('shows members of a node again whose lease expired while it was alive', async () => {
    clusters += 1;
    const clusterName = `b${clusters}`;
    // Leases are only renewed when the test does so.
    const config = { url: redis.url, clusterName, tickMs: 60_000 };
    const [a, b] = (await Promise.all([1, 2].map(() => new RedisNode(config).up()))) as [
      RedisNode,
      RedisNode,
    ];
    const share = { user: 'u', connections: 1, since: 1, at: 1 };
    const told: (readonly Share[])[] = [];
    const events = { gone() {}, rooms: () => [], own: () => [] };
    a.broker.board.attach({ ...events, told() {}, own: () => [share] });
    b.broker.board.attach({ ...events, told: (_, __, shares) => told.push(shares) });
    a.broker.board.enter('r');
    a.broker.board.tell('r', [share]);
    const read = async () => (await b.broker.board.read?.('r')) ?? [];
    while ((await read()).length === 0);
    await redis.ask('DEL', `rc1:${clusterName}:n:${a.broker.node}`);
    // A reader now finds no member, and stale fields are deleted.
    expect(await read()).toEqual([]);
    b.broker.board.enter('r');
    await b.broker.settled();
    await a.broker.settled();
    await b.until(() => told.length > 0);
    expect(told).toEqual([[share]]);
    expect(await read()).toEqual([[a.broker.node, [share]]]);
    await a.broker.close();
    await b.broker.close();
  });
});

it('does not report a node as gone that sent a change during the lease check', async () => {
  vi.useFakeTimers();
  const unreadable = vi.fn();
  const keys = new Keys('c');
  const board = new RedisBoard({ node: 'me', keys, idleRoomMs: 1, tickMs: 100, unreadable });
  let answer: (alive: number[]) => void = () => {};
  const link = {
    subscribe: async () => {},
    unsubscribe: async () => {},
    async run(script: Script) {
      if (script !== ALIVE) return [['1']];
      return new Promise<number[]>((resolve) => {
        answer = resolve;
      });
    },
  } as unknown as Link;
  const gone = vi.fn();
  board.attach({ told() {}, gone, own: () => [], rooms: () => [] });
  board.enter('r');
  await board.up(link);
  const other = 'o'.repeat(16);
  await vi.advanceTimersByTimeAsync(0);
  board.message(keys.board('r'), `2 ${other} 1 []`);
  await vi.advanceTimersByTimeAsync(200);
  board.message(keys.board('r'), `3 ${other} 1 []`);
  answer([0]);
  await vi.advanceTimersByTimeAsync(0);
  expect(gone).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(200);
  answer([0]);
  await vi.advanceTimersByTimeAsync(0);
  expect(gone).toHaveBeenCalledWith(other);
  expect(unreadable).not.toHaveBeenCalled();
  board.close();
  vi.useRealTimers();
});
