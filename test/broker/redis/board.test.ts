import { afterAll, beforeAll, describe } from 'vitest';
import { RedisBoard } from '../../../src/broker/redis/board.js';
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
        // The next that each of two would be told is lost on the way.
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
});
