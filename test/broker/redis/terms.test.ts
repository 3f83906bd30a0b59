/**
 * An (epoch, seq) names one message whatever happens to a primary (V20), and no node misses a message
 * that others got under a number that it had already (V21). Uses real servers, demoted and promoted by
 * hand.
 */
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import type { Broker, Position } from '../../../src/broker/broker.js';
import { audit } from '../../support/accounting.js';
import { BrokerRun } from '../../support/broker-run.js';
import { RedisNode as Node } from '../../support/redis-node.js';
import { hasRedis, type RedisServer, startRedis } from '../../support/redis-server.js';

const never = () => new AbortController().signal;
const soon = (ms = 3000) => ({ deadline: performance.now() + ms });
const payload = (data: string) => ({ data, from: null });

describe.skipIf(!hasRedis)('a primary of Redis', () => {
  const opened: { close(): unknown }[] = [];
  afterEach(async () => {
    for (const each of opened.splice(0).reverse()) await each.close();
  });

  const server = async (...options: string[]) => {
    const redis = await startRedis(...options);
    opened.push(redis);
    return redis;
  };
  const node = async (redis: RedisServer, config = {}) => {
    const made = new Node({ url: redis.url, clusterName: 'c', ...config });
    opened.push(made.broker);
    return made.up();
  };
  const publish = async (at: Node, from: number, to: number) => {
    let position: Position | undefined;
    for (let n = from; n <= to; n += 1) {
      position = await at.broker.publish('r', payload(`${n}`), soon());
    }
    return position as Position;
  };
  /** Resolves when a replica is in sync with its primary. */
  const synced = async (replica: RedisServer) => {
    for (;;) {
      const info = String(await replica.ask('INFO', 'replication'));
      if (info.includes('master_link_status:up')) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  /** Resolves when a replica has this many messages. */
  const has = async (replica: RedisServer, seq: number) => {
    while ((await replica.ask('HGET', 'rc1:c:m:r', 's')) !== `${seq}`);
  };
  const follow = (replica: RedisServer, primary: RedisServer) =>
    replica.ask('REPLICAOF', '127.0.0.1', String(primary.port));
  const promote = (redis: RedisServer) => redis.ask('REPLICAOF', 'NO', 'ONE');

  it('that was demoted and promoted again, with no link in between, continues in a new epoch', async () => {
    const a = await server();
    const b = await server('--replicaof', '127.0.0.1', String(a.port));
    await synced(b);
    const one = await node(a);
    await one.broker.subscribe('r', never());
    const before = await publish(one, 1, 5);
    await has(b, 5);
    await promote(b);
    // On the losing side.
    await publish(one, 6, 10);
    await follow(a, b);
    await synced(a);
    await one.until(() => one.broker.state() === 'suspended');
    await promote(a);
    const two = await node(a);
    await two.broker.subscribe('r', never());
    const after = await publish(two, 106, 110);
    expect(after.seq).toBe(10);
    expect(after.epoch).not.toBe(before.epoch);
    await one.up();
    await one.until(() => one.said.length === 16);
    expect(one.said.slice(9)).toEqual([
      [10, 10],
      { reset: 5, was: 10, same: false },
      ...[106, 107, 108, 109, 110].map((n, i) => [6 + i, n]),
    ]);
  });

  it('that was so unnoticed by its link is detected by the next heartbeat', async () => {
    const a = await server();
    const b = await server('--replicaof', '127.0.0.1', String(a.port));
    await synced(b);
    const one = await node(a, { tickMs: 60_000 });
    await one.broker.subscribe('r', never());
    await publish(one, 1, 5);
    await has(b, 5);
    await promote(b);
    await follow(a, b);
    await synced(a);
    await promote(a);
    expect(one.causes).toEqual([]);
    await one.broker.settled('r');
    expect(one.causes[0]?.message).toMatch(/^TERM .*promoted/);
    expect(one.said.at(-1)).toEqual({ reset: 5, was: 5, same: false });
  });

  it('that was so between two heartbeats assigns no number twice', async () => {
    const a = await server();
    const b = await server('--replicaof', '127.0.0.1', String(a.port));
    await synced(b);
    // The second time the server had been promoted before the link opened, so the term records a
    // promotion.
    for (const wasPromoted of [false, true]) {
      if (wasPromoted) {
        await promote(b);
        await follow(a, b);
        await synced(a);
        await promote(a);
        await follow(b, a);
        await synced(b);
      }
      const run = new BrokerRun();
      const one = await node(a, { tickMs: 60_000 });
      const two = await node(a, { tickMs: 60_000 });
      await run.join(one.broker, 'one', ['r']);
      const begun = String(await a.ask('HGET', 'rc1:c:m:r', 's'));
      await run.publish(one.broker, 'r');
      await has(b, Number(begun) + 1);
      await promote(b);
      for (let n = 0; n < 5; n += 1) await run.publish(one.broker, 'r');
      await follow(a, b);
      await synced(a);
      await promote(a);
      expect([...one.causes, ...two.causes]).toEqual([]);
      expect(await run.publish(two.broker, 'r')).toBe(true);
      await one.broker.settled('r');
      await two.broker.settled();
      await one.broker.settled('r');
      expect(audit(run.published, run.members)).toEqual([]);
      expect(two.causes.map(({ message }) => message)).toEqual([
        expect.stringMatching(/^TERM .*promoted/),
      ]);
      await follow(b, a);
      await synced(b);
      await one.broker.close();
      await two.broker.close();
    }
  });

  it('has a consistent account through any sequence of failovers, even between two heartbeats', async () => {
    const a = await server();
    const b = await server();
    let rooms = 0;
    /**
     * Messages published while `a` has its replica, on the losing side, on the other side, and
     * afterwards.
     */
    const reign = fc.record({
      before: fc.nat(2),
      lost: fc.nat(3),
      elsewhere: fc.nat(3),
      // A link opened at nobody, at `a`, or at `b` while it is the primary: opening a link stores a
      // term.
      comes: fc.constantFrom('nobody', 'a', 'b'),
      by: fc.array(fc.nat(1), { maxLength: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(reign, { minLength: 1, maxLength: 3 }), async (reigns) => {
        rooms += 1;
        const room = `r${rooms}`;
        const run = new BrokerRun();
        await promote(a);
        await follow(b, a);
        await synced(b);
        const nodes = [await node(a, { tickMs: 60_000 }), await node(a, { tickMs: 60_000 })];
        for (const [i, { broker }] of nodes.entries()) await run.join(broker, `${i}`, [room]);
        const at = (i: number) => (nodes[i] as Node).broker;
        const some = async (broker: Broker, many: number) => {
          for (let n = 0; n < many; n += 1) await run.publish(broker, room);
        };
        for (const { before, lost, elsewhere, comes, by } of reigns) {
          await some(at(0), before);
          await a.ask('WAIT', '1', '1000');
          await promote(b);
          await some(at(0), lost);
          if (comes === 'b') {
            const other = await node(b);
            await some(other.broker, elsewhere);
            await other.broker.close();
          }
          await follow(a, b);
          await synced(a);
          await promote(a);
          if (comes === 'a') await (await node(a)).broker.close();
          for (const i of by) await some(at(i), 1);
          await follow(b, a);
          await synced(b);
        }
        await run.settled();
        for (const { broker } of nodes) await broker.settled();
        while (!(await run.publish(at(0), room)));
        for (const { broker } of nodes) await broker.settled(room);
        expect(audit(run.published, run.members)).toEqual([]);
        for (const { broker } of nodes) await broker.close();
      }),
      { numRuns: 12 },
    );
  }, 120_000);

  it('that was promoted once has the same term for every link', async () => {
    const a = await server();
    const b = await server('--replicaof', '127.0.0.1', String(a.port));
    await synced(b);
    await promote(b);
    const one = await node(b);
    await one.broker.subscribe('r', never());
    const { epoch } = await publish(one, 1, 1);
    const two = await node(b);
    await follow(a, b);
    await synced(a);
    expect((await publish(two, 2, 2)).epoch).toBe(epoch);
    await one.until(() => one.said.length === 2);
    expect(one.broker.counts.links).toBe(1);
  });

  it('that has less of a room than a node closes the epoch, even in the same term', async () => {
    const a = await server();
    const one = await node(a, { positionCheckMs: 200 });
    await one.broker.subscribe('r', never());
    const before = await publish(one, 1, 10);
    await one.until(() => one.said.length === 10);
    await a.ask('HSET', 'rc1:c:m:r', 's', '5');
    await one.until(() => one.said.length === 11);
    expect(one.said[10]).toEqual({ reset: 5, was: 10, same: false });
    const after = await publish(one, 11, 11);
    expect(after).toMatchObject({ seq: 6 });
    expect(after.epoch).not.toBe(before.epoch);
    await one.until(() => one.said.length === 12);
    expect(one.said[11]).toEqual([6, 11]);
  });
});
