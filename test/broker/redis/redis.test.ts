import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Position } from '../../../src/broker/broker.js';
import type { RedisConfig } from '../../../src/broker/redis/config.js';
import { encodeRecord } from '../../../src/broker/redis/format.js';
import { Keys } from '../../../src/broker/redis/keys.js';
import { PUBLISH } from '../../../src/broker/redis/scripts.js';
import { brokerContract } from '../../contract/broker.js';
import { RedisNode as Node } from '../../support/redis-node.js';
import { hasRedis, KEEPS_DATA, type RedisServer, startRedis } from '../../support/redis-server.js';

const never = () => new AbortController().signal;
const soon = (ms = 3000) => ({ deadline: performance.now() + ms });
const payload = (data: string) => ({ data, from: null });
const KEEPS = { historyBytes: 1_048_576, historyMs: 300_000 };
const NONE = { messages: 0, ms: 0 };

let clusters = 0;

describe.skipIf(!hasRedis)('Redis', () => {
  let redis: RedisServer;
  const nodes: Node[] = [];

  beforeAll(async () => {
    redis = await startRedis();
  });

  afterAll(async () => {
    await redis.close();
  });

  /** Connected nodes of a new cluster. */
  const cluster = async (count: number, config: Partial<RedisConfig> = {}): Promise<Node[]> => {
    clusters += 1;
    const clusterName = `c${clusters}`;
    const made = Array.from(
      { length: count },
      () => new Node({ url: redis.url, clusterName, ...config }),
    );
    nodes.push(...made);
    return Promise.all(made.map((node) => node.up()));
  };
  const close = async (all: Node[]) => {
    await Promise.all(all.map(({ broker }) => broker.close()));
  };

  brokerContract(
    'Redis',
    async ({ messages } = { messages: 0 }) => {
      clusters += 1;
      const clusterName = `c${clusters}`;
      const made: Node[] = [];
      const history = () => ({ ...KEEPS, historyMessages: messages });
      return {
        async node() {
          const node = await new Node({ url: redis.url, clusterName, kept: NONE, history }).up();
          made.push(node);
          return node.broker;
        },
        async settle() {
          // Everything published before a heartbeat is delivered once that heartbeat is received.
          await Promise.all(made.map(({ broker }) => broker.settled()));
          const rooms = ['a', 'b', '__proto__'];
          // A closed broker never becomes `up`.
          const isUp = ({ broker }: Node) =>
            broker.state() !== 'up' || rooms.every((room) => broker.state(room) === 'up');
          await Promise.all(made.map((node) => node.until(() => isUp(node))));
        },
        close: () => close(made),
      };
    },
    { nodes: 3, history: true },
  );

  it('delivers in order to all nodes, many messages per commit', async () => {
    const [a, b] = (await cluster(2)) as [Node, Node];
    await a.broker.subscribe('r', never());
    await b.broker.subscribe('r', never());
    const published = await Promise.all(
      Array.from({ length: 1000 }, (_, n) =>
        (n % 2 === 0 ? a : b).broker.publish('r', payload(String(n)), soon()),
      ),
    );
    await a.until(() => a.said.length === 1000);
    await b.until(() => b.said.length === 1000);
    expect(a.said).toEqual(b.said);
    const bySeq = new Map(published.map(({ seq }, n) => [seq, n]));
    expect(a.said).toEqual(Array.from({ length: 1000 }, (_, n) => [n + 1, bySeq.get(n + 1)]));
    await close([a, b]);
  });

  it('reads from the log what a disconnected subscription missed', async () => {
    const [a, b] = (await cluster(2)) as [Node, Node];
    await a.broker.subscribe('r', never());
    await a.broker.publish('r', payload('1'), soon());
    await a.until(() => a.said.length === 1);
    await redis.ask('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await a.until(() => a.causes.length === 1 && b.causes.length === 1);
    await b.up();
    for (let n = 2; n <= 5; n += 1) await b.broker.publish('r', payload(String(n)), soon());
    await a.until(() => a.said.length === 5);
    expect(a.said).toEqual([1, 2, 3, 4, 5].map((n) => [n, n]));
    await a.up();
    expect(a.broker.counts).toMatchObject({ lost: 0, resets: 0, links: 2 });
    await close([a, b]);
  });

  it('reports exactly what it missed if no log is kept, also before a silence', async () => {
    const [a, b] = (await cluster(2, { kept: NONE })) as [Node, Node];
    await a.broker.subscribe('r', never());
    await a.broker.publish('r', payload('1'), soon());
    await a.until(() => a.said.length === 1);
    redis.signal('SIGSTOP');
    await a.until(() => a.broker.state() === 'suspended' && b.broker.state() === 'suspended');
    redis.signal('SIGCONT');
    await b.up();
    await b.broker.publish('r', payload('2'), soon());
    await a.until(() => a.broker.state() === 'up' && a.said.length > 1);
    // Whether it was delivered or missed depends on when the new connection was made.
    expect([[[2, 2]], [{ lost: 2 }]]).toContainEqual(a.said.slice(1));
    await close([a, b]);
  });

  it('continues in a new epoch, at 0, when Redis has lost everything', async () => {
    const [a] = (await cluster(1)) as [Node];
    const before = (await a.broker.subscribe('r', never())) as Position;
    await a.broker.publish('r', payload('1'), soon());
    await a.until(() => a.said.length === 1);
    await redis.ask('FLUSHALL');
    await a.until(() => a.said.length === 2);
    expect(a.said[1]).toEqual({ reset: 0, was: 1, same: false });
    await a.up();
    const after = await a.broker.publish('r', payload('2'), soon());
    expect(after.seq).toBe(1);
    expect(after.epoch).not.toBe(before.epoch);
    await a.until(() => a.said.length === 3);
    expect(a.said[2]).toEqual([1, 2]);
    await close([a]);
  });

  it('continues in a new epoch if one room was deleted', async () => {
    const [a] = (await cluster(1)) as [Node];
    await a.broker.subscribe('r', never());
    await a.broker.publish('r', payload('1'), soon());
    await a.broker.publish('r', payload('2'), soon());
    await redis.ask('DEL', `rc1:c${clusters}:m:r`);
    expect((await a.broker.publish('r', payload('3'), soon())).seq).toBe(1);
    await a.until(() => a.said.length === 4);
    expect(a.said.slice(2)).toEqual([{ reset: 0, was: 2, same: false }, [1, 3]]);
    await close([a]);
  });

  it('detects a loss before a silence by the position check', async () => {
    const [a] = (await cluster(1, { positionCheckMs: 300 })) as [Node];
    await a.broker.subscribe('r', never());
    await a.broker.publish('r', payload('1'), soon());
    await a.until(() => a.said.length === 1);
    // Simulates a message lost in transit.
    await redis.ask('HSET', `rc1:c${clusters}:m:r`, 's', '3');
    await a.until(() => a.said.length === 2);
    expect(a.said[1]).toEqual({ lost: 3 });
    await close([a]);
  });

  it('refuses at once without a connection, and as uncertain if the outcome is unknown', async () => {
    const own = await startRedis();
    const a = await new Node({ url: own.url, clusterName: 'own' }).up();
    own.signal('SIGSTOP');
    const unsure = a.broker.publish('r', payload('1'), soon(400));
    await expect(unsure).rejects.toMatchObject({ code: 'broker_uncertain' });
    await a.until(() => a.broker.state() === 'suspended');
    expect(() => a.broker.publish('r', payload('2'), soon())).toThrow(
      expect.objectContaining({ code: 'broker_unavailable' }),
    );
    own.signal('SIGCONT');
    await a.up();
    // Redis refuses a publish that arrives after its deadline.
    expect((await a.broker.subscribe('r', never())).seq).toBe(0);
    await a.broker.close();
    await own.close();
  });

  it('publishes a resent commit once', async () => {
    const own = await startRedis(...KEEPS_DATA);
    const [a] = [await new Node({ url: own.url, clusterName: 'own' }).up()];
    await a.broker.subscribe('r', never());
    const answers = Promise.allSettled(
      Array.from({ length: 200 }, (_, n) => a.broker.publish('r', payload(String(n)), soon(8000))),
    );
    await own.ask('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    const settled = await answers;
    await a.up();
    const last = (await a.broker.publish('r', payload('"last"'), soon())).seq;
    await a.until(() => a.said.some((one) => Array.isArray(one) && one[1] === 'last'));
    const accepted = settled.filter(({ status }) => status === 'fulfilled').length;
    expect(last).toBe(accepted + 1);
    const values = a.said.filter(Array.isArray).map(([, value]) => value);
    expect(new Set(values).size).toBe(values.length);
    await a.broker.close();
    await own.close();
  });

  it('recognises a resent commit by its number', async () => {
    const [a] = (await cluster(1)) as [Node];
    await a.broker.subscribe('r', never());
    const keys = new Keys(`c${clusters}`);
    const term = String(await redis.ask('HGET', keys.term, 'id'));
    const names = [keys.term, keys.meta('r'), keys.log('r'), keys.channel('r')];
    const commit = async (number: string, data: string, node = 'n:node') => {
      const answer = await redis.ask(
        ...['EVAL', PUBLISH.text, '4', ...names, term, 'fresh', String(Date.now() + 10_000)],
        ...[node, number, '1', encodeRecord(payload(data)), '100', '60000', '0', '60000', '600000'],
      );
      // Compares all but the time of the answer.
      return String(answer).split(' ').slice(1);
    };
    const first = await commit('7', '1');
    expect(await commit('7', '1')).toEqual(first);
    expect((await commit('8', '2'))[0]).toBe('2');
    await a.until(() => a.said.length === 2);
    expect(a.said).toEqual([
      [1, 1],
      [2, 2],
    ]);
    // However many nodes have published meanwhile; nodes that can no longer resend are forgotten.
    for (let n = 0; n < 40; n += 1) await commit('1', `${n}`, `n:other${n}`);
    expect((await commit('8', '2'))[0]).toBe('2');
    expect(await redis.ask('HLEN', keys.meta('r'))).toBeGreaterThan(40);
    for (let n = 0; n < 40; n += 1) {
      await redis.ask('HSET', keys.meta('r'), `n:other${n}`, '1 1 1 e 1000');
    }
    await commit('1', '43', 'n:last');
    expect((await commit('8', '2'))[0]).toBe('2');
    const left = (await redis.ask('HKEYS', keys.meta('r'))) as string[];
    expect(left.filter((field) => field.startsWith('n:'))).toHaveLength(16);
    await close([a]);
  });

  it('keeps a room and its log long enough after each message, and seldom renews their expiry', async () => {
    const own = await startRedis();
    const keys = new Keys('own');
    const node = (ms: number) =>
      new Node({
        ...{ url: own.url, clusterName: 'own', kept: { messages: 100, ms } },
        // Heartbeats and checks set expiries too: there are none in the meantime.
        ...{ idleRoomMs: 6_000_000, positionCheckMs: 60_000, tickMs: 60_000 },
      }).up();
    // The margin is more than a minute: nothing here takes that long.
    const [a, b] = await Promise.all([node(1_000_000), node(2_000_000)]);
    let given = 0;
    const publish = async (at: Node, data: string) => {
      const calls = async () =>
        Number(/pexpire:calls=(\d+)/.exec(String(await own.ask('INFO', 'commandstats')))?.[1]);
      const before = await calls();
      await at.broker.publish('r', payload(data), soon());
      given = (await calls()) - before;
    };
    const stays = async (key: string) => Number(await own.ask('PTTL', key));
    await publish(a, '1');
    expect(await stays(keys.log('r'))).toBeGreaterThan(1_000_000);
    expect(await stays(keys.meta('r'))).toBeGreaterThan(6_000_000);
    await publish(a, '2');
    expect(given).toBe(0);
    // The expiry set by the other node is shorter than this node's options require.
    await publish(b, '3');
    expect(given).toBe(2);
    expect(await stays(keys.log('r'))).toBeGreaterThan(2_000_000);
    await publish(a, '4');
    expect(given).toBe(2);
    expect(await stays(keys.log('r'))).toBeLessThan(1_100_000);
    // A publish failed after XADD: the excess entry goes, and the expiry is set anew.
    await own.ask('XADD', keys.log('r'), '9-0', 'd', '');
    await publish(a, '5');
    expect(await stays(keys.log('r'))).toBeGreaterThan(1_000_000);
    // Uses up the margin.
    await own.ask('HINCRBY', keys.meta('r'), 'x', '-70000');
    await publish(a, '6');
    expect(given).toBe(2);
    await Promise.all([a.broker.close(), b.broker.close()]);
    await own.close();
  });

  it('begins a new epoch if Redis forgets the room while its log is read', async () => {
    const [a] = (await cluster(1)) as [Node];
    const { epoch } = (await a.broker.subscribe('r', never())) as Position;
    await a.broker.publish('r', payload('1'), soon());
    await a.until(() => a.said.length === 1);
    const keys = new Keys(`c${clusters}`);
    await redis.ask('DEL', keys.meta('r'));
    // After a hole, so that the node reads the log.
    await redis.ask(
      'PUBLISH',
      keys.channel('r'),
      `5 5 ${epoch} 1 -\n${encodeRecord(payload('5'))}`,
    );
    await a.until(() => a.said.length === 2 && a.broker.state('r') === 'up');
    expect(a.said[1]).toEqual({ reset: 0, was: 1, same: false });
    const now = (await a.broker.subscribe('r', never())) as Position;
    expect(now.epoch).toMatch(/^[0-9a-f]{16}$/);
    expect(await a.broker.publish('r', payload('2'), soon())).toEqual({ ...now, seq: 1 });
    await close([a]);
  });

  it('continues the numbers in a new epoch after a restart from saved data', async () => {
    const own = await startRedis(...KEEPS_DATA);
    const a = await new Node({ url: own.url, clusterName: 'own' }).up();
    const before = (await a.broker.subscribe('r', never())) as Position;
    await a.broker.publish('r', payload('1'), soon());
    await a.broker.publish('r', payload('2'), soon());
    await own.kill();
    await own.start();
    await a.up();
    await a.until(() => a.said.length === 3);
    expect(a.said[2]).toEqual({ reset: 2, was: 2, same: false });
    const after = await a.broker.publish('r', payload('3'), soon());
    expect(after.seq).toBe(3);
    expect(after.epoch).not.toBe(before.epoch);
    // The log survives it: a subscriber at 1 of the old epoch still gets 2.
    const other = await new Node({ url: own.url, clusterName: 'own' }).up();
    await other.broker.subscribe('r', never(), { epoch: before.epoch, seq: 1 });
    await other.until(() => other.said.length === 3);
    expect(other.said).toEqual([[2, 2], { reset: 2, was: 2, same: false }, [3, 3]]);
    await a.broker.close();
    await other.broker.close();
    await own.close();
  });
});
