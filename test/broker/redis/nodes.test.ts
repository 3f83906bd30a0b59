/** The list of nodes, from their reports to Redis. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LEASE_MS } from '../../../src/broker/sharing-node.js';
import { schema } from '../../../src/options/index.js';
import { RedisNode as Node } from '../../support/redis-node.js';
import { hasRedis, type RedisServer, startRedis } from '../../support/redis-server.js';

const facts = (server: string) => ({ server, slot: null, version: '1', upMs: 0, members: 3 });

it('a lease outlasts two missing ticks, whatever is configured', () => {
  expect(LEASE_MS).toBeGreaterThanOrEqual(3 * Number(schema.brokerTickMs.maximum));
});

describe.skipIf(!hasRedis)('nodes over Redis', () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(async () => {
    await redis.close();
  });

  it('list each other and nodes that died, and not nodes that closed', async () => {
    const open = async (name: string) => {
      const node = new Node({ url: redis.url, clusterName: 'c' });
      node.broker.describe(() => facts(name));
      return node.up();
    };
    const [a, b] = [await open('a'), await open('b')];
    const names = async (node: Node) => (await node.broker.nodes()).map(({ server }) => server);
    expect((await names(a)).sort()).toEqual(['a', 'b']);
    const [, own] = (await b.broker.nodes()).sort((one, other) =>
      one.server < other.server ? -1 : 1,
    );
    expect(own).toMatchObject({ ...facts('b'), node: b.broker.node });
    expect(own?.heardMs).toBeLessThan(5000);
    // The node counts as gone this long after its last heartbeat.
    const lease = Number(await redis.ask('PTTL', `rc1:c:n:${b.broker.node}`));
    expect(lease).toBeGreaterThan(10_000);
    expect(lease).toBeLessThanOrEqual(15_000);
    const now = Date.now();
    const said = (agoMs: number, name: string) => `${now - agoMs} ${JSON.stringify(facts(name))}`;
    await redis.ask('HSET', 'rc1:c:nodes', '1', said(60_000, 'killed'));
    await redis.ask('HSET', 'rc1:c:nodes', '2', said(700_000, 'forgotten'));
    await b.broker.close();
    expect((await names(a)).sort()).toEqual(['a', 'killed']);
    expect(await redis.ask('HLEN', 'rc1:c:nodes')).toBe(2);
    expect(await redis.ask('PTTL', 'rc1:c:nodes')).toBeGreaterThan(60_000);
    await a.broker.close();
    await expect(async () => a.broker.nodes()).rejects.toMatchObject({
      code: 'broker_unavailable',
    });
  });
});
