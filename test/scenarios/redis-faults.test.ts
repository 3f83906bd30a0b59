/**
 * Failures of Redis, or of the network to it, with real members whose logs are accounted for
 * (`accounting.ts`, rules 1 to 8; V4, V20, V21, V22, V23):
 *
 * | Redis … | test |
 * |---|---|
 * | is slow | is slow: … |
 * | stops, or answers nobody for a while | stops: …; pauses its clients: … |
 * | is down; restarted empty | is down, and restarted empty: … |
 * | restarted with older data | is restarted with older data: … |
 * | failed over, nothing lost; writes lost | is replaced by a replica …: … |
 * | is two | is two for a while: … |
 * | is unreachable from one node | the way from, to, or between …: …; `redis-nodes.test.ts` with real networks |
 * | closes our subscriber | closes a connection: …; closes a slow reader: …; is away for longer than …: … |
 * | loses a message on a living connection | loses a message: … |
 * | evicts or flushes a room | forgets everything, or a room: … |
 * | is full, without replicas, or cannot save | `redis-refuses.test.ts` |
 * | is ahead on another node of the one a member uses | is behind on one node: …; is away from a node: … |
 *
 * Nodes that die or stall: `redis-nodes.test.ts`. Workers and their primary: `workers.test.ts`,
 * `workers-killed.test.ts`. Moving slots: Redis Cluster is not supported.
 */
import { describe, expect, onTestFinished, test } from 'vitest';
import { connectReading } from '../support/reading-peer.js';
import { RedisScene } from '../support/redis-scene.js';
import { hasRedis, startRedis } from '../support/redis-server.js';

const ROOM = 'chat:lobby';
const OTHER = 'chat:other';
const QUICK = { brokerTimeoutMs: 1500 };

const accepted = (answers: readonly unknown[]) =>
  answers.filter((answer) => typeof answer === 'object').length;

/** Makes this many publishes at once, from the nodes in turn. */
const burst = (scene: RedisScene, nodes: readonly number[], count: number, room = ROOM) =>
  Promise.all(
    Array.from({ length: count }, (_, n) => scene.publish(nodes[n % nodes.length] as number, room)),
  );

const ready = async (scene: RedisScene, node: number) =>
  (await fetch(`${scene.nodes[node]?.server.url}/readyz`)).status;

const types = (scene: { readonly logs: readonly { told: readonly { type: string }[] }[] }) =>
  scene.logs.flatMap(({ told }) => told.map(({ type }) => type));

type Member = Awaited<ReturnType<RedisScene['join']>>;

/** Waits until members have read all: a message that is lost in transit is reported by a reset. */
const allRead = (members: readonly Member[], count: number) =>
  Promise.all(
    members.map((member) =>
      member.until(() => types(member).filter((type) => type === 'message').length === count),
    ),
  );

const resets = ({ logs }: Member) =>
  logs.flatMap(({ told }) =>
    told.flatMap((each) => (each.type === 'reset' ? [[each.was.seq, each.position.seq]] : [])),
  );

describe.skipIf(!hasRedis)('Redis', () => {
  test('is slow: members notice nothing, and commits grow', async () => {
    const scene = await RedisScene.start({ options: { brokerTickMs: 2000 } });
    const members = [await scene.join(0, ROOM), await scene.join(1, ROOM)];
    for (const { proxy } of scene.nodes) proxy.delay(100);
    const calls = async () => {
      const stats = String(await scene.redis.ask('INFO', 'commandstats'));
      return Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1]);
    };
    const before = await calls();
    const rounds = [];
    // Publishers do not wait: publishes during a commit go into the next one.
    for (let n = 0; n < 10; n += 1) {
      rounds.push(burst(scene, [0, 1], 40));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(accepted((await Promise.all(rounds)).flat())).toBe(400);
    expect((await calls()) - before).toBeLessThan(100);
    expect(await scene.account([0, 1], members)).toEqual([]);
    expect(members.flatMap(({ notices }) => notices)).toEqual([]);
  });

  test('stops: members stay and are notified once, publishes end by their deadline, and none appears after it', async () => {
    const scene = await RedisScene.start({ options: QUICK });
    const [a, b] = [await scene.join(0, ROOM), await scene.join(1, ROOM)];
    await burst(scene, [0, 1], 10);
    const peer = await connectReading('websocket', scene.nodes[0]?.server.url as string);
    scene.redis.signal('SIGSTOP');
    const full = burst(scene, [0], 5000);
    const other = scene.publish(1, ROOM);
    await Promise.all([scene.until(a, 'suspended'), scene.until(b, 'suspended')]);
    expect(await ready(scene, 0)).toBe(503);
    // A room known to this node, and an unknown one.
    peer.say({ type: 'join', id: 1, room: ROOM });
    peer.say({ type: 'join', id: 2, room: OTHER });
    await peer.until(() => peer.events.some((event) => event.type === 'joined'));
    expect(peer.events.find(({ type }) => type === 'joined')).toMatchObject({ id: 1, stale: true });
    await peer.until(() => peer.events.some(({ type }) => type === 'error'));
    const error = peer.events.find(({ type }) => type === 'error');
    expect(error).toMatchObject({ id: 2, code: 'broker_unavailable' });
    const answers = await full;
    // Sent publishes may have been carried out; unsent ones, and those over the limit, were not.
    expect(answers.filter((answer) => answer === 'uncertain').length).toBeGreaterThan(0);
    expect(answers.filter((answer) => answer === 'refused').length).toBeGreaterThan(4000);
    expect(await other).toBe('uncertain');
    expect(await scene.publish(0, ROOM)).toBe('refused');
    scene.redis.signal('SIGCONT');
    await Promise.all([scene.until(a, 'up'), scene.until(b, 'up')]);
    expect(await scene.account([0, 1], [])).toEqual([]);
    expect(await ready(scene, 0)).toBe(200);
    expect([a.notices, b.notices]).toEqual([
      ['suspended', 'up'],
      ['suspended', 'up'],
    ]);
  });

  test('pauses its clients: a publish is late or refused, and never both', async () => {
    const scene = await RedisScene.start({ options: { brokerTimeoutMs: 1000 } });
    const [a] = [await scene.join(0, ROOM), await scene.join(1, ROOM)];
    await burst(scene, [0, 1], 10);
    await scene.redis.ask('CLIENT', 'PAUSE', '4000', 'ALL');
    const answers = burst(scene, [0, 1], 50);
    await scene.until(a as never, 'up');
    expect(accepted(await answers)).toBe(0);
    expect(await scene.account([0, 1], [])).toEqual([]);
  });

  test('is down, and restarted empty: refused at once meanwhile, then a reset to 0', async () => {
    const scene = await RedisScene.start({ options: QUICK });
    const members = [await scene.join(0, ROOM, OTHER), await scene.join(1, ROOM)];
    await burst(scene, [0, 1], 10);
    await allRead(members, 10);
    await scene.redis.kill();
    for (const member of members) await scene.until(member, 'suspended');
    // Before anything could have been read or have come due.
    const turn = new Promise((resolve) => setImmediate(resolve, 'pending'));
    expect(await Promise.race([scene.publish(0, ROOM), turn])).toBe('refused');
    // A room known to this node, and an unknown one.
    const peer = await connectReading('websocket', scene.nodes[1]?.server.url as string);
    peer.say({ type: 'join', id: 1, room: ROOM });
    peer.say({ type: 'join', id: 2, room: 'chat:new' });
    await peer.until(() => peer.events.some(({ type }) => type === 'error'));
    expect(peer.events.find(({ type }) => type === 'joined')).toMatchObject({ id: 1, stale: true });
    expect(peer.events.find(({ type }) => type === 'error')).toMatchObject({
      id: 2,
      code: 'broker_unavailable',
    });
    await scene.redis.start();
    for (const member of members) await scene.until(member, 'up');
    expect(await scene.account([0, 1], [])).toEqual([]);
    for (const member of members) {
      expect(member.notices).toEqual(['suspended', 'up']);
      expect(resets(member)[0]).toEqual([10, 0]);
    }
  });

  test('is restarted with older data: rooms continue from what is left, in a new epoch', async () => {
    const scene = await RedisScene.start();
    const members = [await scene.join(0, ROOM), await scene.join(1, ROOM)];
    await burst(scene, [0, 1], 10);
    await scene.redis.ask('SAVE');
    await burst(scene, [0, 1], 10);
    await allRead(members, 20);
    // During these publishes.
    const during = burst(scene, [0, 1], 200);
    await scene.redis.kill();
    await scene.redis.start();
    await during;
    expect(await scene.account([0, 1], [])).toEqual([]);
    for (const member of members) {
      const [[was = 0, now] = []] = resets(member);
      expect(was).toBeGreaterThanOrEqual(20);
      expect(now).toBe(10);
    }
  });

  /** Starts a replica with all data of the first Redis. */
  async function replicaOf(scene: RedisScene) {
    const replica = await startRedis('--replicaof', '127.0.0.1', String(scene.redis.port));
    onTestFinished(() => replica.close());
    await expect
      .poll(async () => String(await replica.ask('INFO', 'replication')))
      .toContain('master_link_status:up');
    return replica;
  }

  test('is replaced by a replica that has everything: a reset with equal numbers', async () => {
    const scene = await RedisScene.start();
    const members = [await scene.join(0, ROOM), await scene.join(1, ROOM)];
    const replica = await replicaOf(scene);
    await burst(scene, [0, 1], 10);
    await allRead(members, 10);
    await expect.poll(() => replica.ask('HGET', `rc1:roomcast:m:${ROOM}`, 's')).toBe('10');
    await scene.redis.kill();
    for (const member of members) await scene.until(member, 'suspended');
    expect(await scene.publish(0, ROOM)).toBe('refused');
    // It is not accepted until it is a primary.
    for (const { proxy } of scene.nodes) proxy.retarget(replica.port);
    expect(await scene.publish(0, ROOM)).toBe('refused');
    await replica.ask('REPLICAOF', 'NO', 'ONE');
    expect(await scene.account([0, 1], [])).toEqual([]);
    for (const member of members) expect(resets(member)).toEqual([[10, 10]]);
  });

  test('is replaced by a replica that lacks the last writes: both epochs stay apart', async () => {
    const scene = await RedisScene.start();
    const members = [await scene.join(0, ROOM), await scene.join(1, ROOM)];
    const replica = await replicaOf(scene);
    await burst(scene, [0, 1], 10);
    await expect.poll(() => replica.ask('HGET', `rc1:roomcast:m:${ROOM}`, 's')).toBe('10');
    await replica.ask('REPLICAOF', 'NO', 'ONE');
    await burst(scene, [0, 1], 5);
    await allRead(members, 15);
    await scene.redis.kill();
    for (const { proxy } of scene.nodes) proxy.retarget(replica.port);
    expect(await scene.account([0, 1], [])).toEqual([]);
    for (const member of members) expect(resets(member)).toEqual([[15, 10]]);
  });

  test('is two for a while: each side goes on, and the losing side gets a reset', async () => {
    const scene = await RedisScene.start();
    const [a, b] = [await scene.join(0, ROOM), await scene.join(1, ROOM)];
    const replica = await replicaOf(scene);
    await burst(scene, [0, 1], 10);
    await allRead([a, b], 10);
    await expect.poll(() => replica.ask('HGET', `rc1:roomcast:m:${ROOM}`, 's')).toBe('10');
    await replica.ask('REPLICAOF', 'NO', 'ONE');
    scene.nodes[1]?.proxy.retarget(replica.port);
    scene.nodes[1]?.proxy.cut();
    await scene.accepts(1, ROOM);
    expect(accepted(await burst(scene, [0, 1], 20))).toBe(20);
    for (const member of [a, b]) await member.until(() => types(member).length >= 21);
    // The first becomes a replica of the second and keeps its connections.
    await scene.redis.ask('REPLICAOF', '127.0.0.1', String(replica.port));
    scene.nodes[0]?.proxy.retarget(replica.port);
    await scene.accepts(0, ROOM);
    expect(await scene.account([0, 1], [])).toEqual([]);
    expect(resets(a)[0]?.[0]).toBeGreaterThan(resets(a)[0]?.[1] as number);
    expect(resets(b)).toEqual([[10, 10]]);
  });

  test.each([
    ['from', ['down']],
    ['to', ['up']],
    ['between', ['up', 'down']],
  ] as const)(
    'the way %s a node and Redis is silent: that node says so, and the others notice nothing',
    async (_, silent) => {
      const scene = await RedisScene.start({ options: QUICK });
      const [a, b] = [await scene.join(0, ROOM), await scene.join(1, ROOM)];
      await burst(scene, [0, 1], 10);
      const proxy = scene.nodes[1]?.proxy;
      proxy?.silence(...silent);
      const lost = scene.publish(1, ROOM);
      await scene.until(b, 'suspended');
      expect(await ready(scene, 1)).toBe(503);
      expect(await ready(scene, 0)).toBe(200);
      expect(accepted(await burst(scene, [0], 20))).toBe(20);
      expect(await lost).toBe('uncertain');
      proxy?.heal();
      await scene.until(b, 'up');
      expect(await scene.account([0, 1], [a])).toEqual([]);
      // The log had all of it.
      expect(types(b)).not.toContain('gap');
      expect(b.notices).toEqual(['suspended', 'up']);
    },
  );

  test.each([
    ['pubsub', 1],
    ['normal', 1],
    ['pubsub', 3],
    ['normal', 3],
  ])(
    'closes a connection (%s, times: %d): the log fills the hole once a minute, and pending publishes go out once',
    async (type, times) => {
      const scene = await RedisScene.start();
      const members = [await scene.join(0, ROOM), await scene.join(1, ROOM)];
      const answers: unknown[] = [];
      for (let n = 0; n < times; n += 1) {
        const during = burst(scene, [0, 1], 20);
        await scene.redis.ask('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes');
        answers.push(...(await during));
        for (const node of [0, 1]) await scene.accepts(node, ROOM);
      }
      // Resent by its number: no publish is uncertain.
      expect(answers).not.toContain('uncertain');
      // After a second disconnect within a minute the node reports a gap.
      expect(await scene.account([0, 1], times === 1 ? members : [])).toEqual([]);
    },
  );

  test('is behind on one node: a member from another node resumes from its position (V17)', async () => {
    const scene = await RedisScene.start({ options: { brokerTickMs: 2000 } });
    const [a, b] = [await scene.join(0, ROOM), await scene.join(1, ROOM)];
    const moving = await scene.join(0, ROOM);
    const proxy = scene.nodes[1]?.proxy;
    const move = async () => {
      moving.close();
      await moving.until(() => false);
      moving.comeBack(scene.nodes[1]?.server.url as string);
      await moving.joined();
    };
    await burst(scene, [0], 10);
    await allRead([a, b, moving], 10);
    proxy?.delay(400);
    await burst(scene, [0], 10);
    await moving.until(() => types(moving).length === 21);
    await move();
    expect(types(moving).at(-1)).toBe('rejoined');
    expect(types(moving)).not.toContain('reset');
    // A position of another epoch that the node does not know.
    moving.comeBack(scene.nodes[0]?.server.url as string);
    await moving.joined();
    await scene.redis.ask('DEL', `rc1:roomcast:m:${ROOM}`);
    await burst(scene, [0], 1);
    await moving.until(() => resets(moving).length === 1 && types(moving).at(-1) === 'message');
    await move();
    expect(types(moving).at(-1)).toBe('rejoined');
    expect(resets(moving)).toHaveLength(1);
    expect(await scene.account([0, 1], [])).toEqual([]);
  });

  test('is away from a node: a position that it cannot judge is refused until it can', async () => {
    const scene = await RedisScene.start({ options: QUICK });
    const [a, b] = [await scene.join(0, ROOM), await scene.join(1, ROOM)];
    await burst(scene, [0], 10);
    await allRead([a, b], 10);
    const proxy = scene.nodes[1]?.proxy;
    proxy?.cut(true);
    await scene.until(b, 'suspended');
    await burst(scene, [0], 10);
    await a.until(() => types(a).length === 21);
    a.comeBack(scene.nodes[1]?.server.url as string);
    await new Promise((resolve) => setTimeout(resolve, 2000));
    expect(types(a)).toHaveLength(21);
    proxy?.heal();
    await a.joined();
    expect(types(a)[21]).toBe('rejoined');
    expect(await scene.account([0, 1], [a, b])).toEqual([]);
  });

  test('is away from a node for longer than its log holds: a gap, with the exact range', async () => {
    const scene = await RedisScene.start();
    const [a, b] = [await scene.join(0, ROOM), await scene.join(1, ROOM)];
    await burst(scene, [0, 1], 10);
    const proxy = scene.nodes[1]?.proxy;
    proxy?.cut(true);
    await scene.until(b, 'suspended');
    for (let n = 0; n < 350; n += 1) await scene.publish(0, ROOM);
    proxy?.heal();
    expect(await scene.account([0, 1], [a])).toEqual([]);
    expect(types(b).filter((type) => type === 'gap')).toHaveLength(1);
  });

  test('closes a slow reader: that node catches up from the log, and Redis stays within its buffer limit', async () => {
    const scene = await RedisScene.start({ nodes: 3, options: { brokerTickMs: 1000 } });
    await scene.redis.ask('CONFIG', 'SET', 'client-output-buffer-limit', 'pubsub 1mb 0 0');
    const members = [await scene.join(0, ROOM), await scene.join(1, ROOM)];
    const slow = await scene.join(2, ROOM);
    const proxy = scene.nodes[2]?.proxy;
    proxy?.throttle(0);
    for (let n = 0; n < 30; n += 1) {
      await Promise.all([0, 1, 0, 1].map((node) => scene.publish(node, ROOM, 100_000)));
      const stats = String(await scene.redis.ask('INFO', 'clients'));
      expect(Number(/client_recent_max_output_buffer:(\d+)/.exec(stats)?.[1])).toBeLessThan(
        2 ** 21,
      );
    }
    await scene.until(slow, 'suspended');
    proxy?.heal();
    expect(await scene.account([0, 1, 2], members)).toEqual([]);
  });

  test('loses a message on a living connection: the next message or the position check reveals it', async () => {
    const scene = await RedisScene.start({ options: { positionCheckMs: 1000 } });
    const members = [await scene.join(0, ROOM), await scene.join(1, ROOM)];
    const proxy = scene.nodes[1]?.proxy;
    for (const isFollowed of [true, false]) {
      await burst(scene, [0], 5);
      // Otherwise it might lose one of these.
      await allRead(members, scene.published.length);
      const lost = proxy?.loseOne(`:c:${ROOM}`);
      await scene.publish(0, ROOM);
      await lost;
      if (isFollowed) await scene.publish(0, ROOM);
      const { payload } = scene.published.at(isFollowed ? -2 : -1) as { payload: string };
      const has = () => JSON.stringify(members[1]?.logs).includes(JSON.stringify(payload));
      await members[1]?.until(has);
    }
    expect(await scene.account([0, 1], members)).toEqual([]);
  });

  test('forgets everything, or a room: its members get a reset', async () => {
    const scene = await RedisScene.start();
    const [a, b] = [await scene.join(0, ROOM, OTHER), await scene.join(1, ROOM)];
    await burst(scene, [0, 1], 10);
    await scene.redis.ask('DEL', `rc1:roomcast:m:${OTHER}`);
    for (const room of [OTHER, ROOM]) await burst(scene, [0, 1], 10, room);
    await a.until(() => resets(a).length === 1);
    expect(resets(b)).toEqual([]);
    const during = burst(scene, [0, 1], 20);
    await scene.redis.ask('FLUSHALL');
    await during;
    expect(await scene.account([0, 1], [])).toEqual([]);
    expect(resets(b)).toHaveLength(1);
  });
});
