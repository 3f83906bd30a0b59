import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Share } from '../../../src/broker/broker.js';
import { RedisBoard } from '../../../src/broker/redis/board.js';
import { ALIVE, PRESENT } from '../../../src/broker/redis/board-scripts.js';
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

  it('costs no link while the primary refuses writes, or for a malformed message', async () => {
    clusters += 1;
    const clusterName = `b${clusters}`;
    const node = await new RedisNode({ url: redis.url, clusterName }).up();
    const board = node.broker.board as RedisBoard;
    let changes = 0;
    const told = () => {
      changes += 1;
    };
    board.attach({ told, gone() {}, rooms: () => [], own: () => [] });
    const other = 'o'.repeat(16);
    const tell = (text: string) =>
      redis.ask('PUBLISH', `rc1:${clusterName}:b:r`, `${changes + 1} ${other} 0 ${text}`);
    board.enter('r');
    const isTold = async () => (await tell('[]')) && changes > 0;
    await expect.poll(isTold).toBe(true);
    await redis.ask('HSET', `rc1:${clusterName}:p:r`, 'v', '1', other, '{}');
    await redis.ask('CONFIG', 'SET', 'min-replicas-to-write', '1');
    onTestFinished(async () => {
      await redis.ask('CONFIG', 'SET', 'min-replicas-to-write', '0');
    });
    await board.check();
    // The lease of that node has expired.
    expect(await board.read('r')).toEqual([]);
    board.enter('s');
    await node.broker.settled();
    await redis.ask('CONFIG', 'SET', 'min-replicas-to-write', '0');
    const share = { user: 'u', connections: 1, since: 1, at: 1 };
    const wrong = [
      null,
      1,
      {},
      { ...share, user: 1 },
      { ...share, connections: -1 },
      { ...share, since: null },
      { ...share, info: 1 },
      { ...share, info: '{' },
    ];
    const texts = wrong.map((each) => JSON.stringify([share, each]));
    for (const text of ['not JSON', '{}', '1', ...texts]) await tell(text);
    await node.broker.settled();
    expect(node.broker.counts).toMatchObject({ links: 1, unreadable: 3 + wrong.length });
    // The other fields of a room are good.
    await redis.ask('SET', `rc1:${clusterName}:n:${other}`, '');
    const fields = wrong.flatMap((each, i) => [`${other}${i}`, JSON.stringify(each)]);
    const good = [`${other}u`, JSON.stringify({ ...share, info: '[1]' })];
    await redis.ask(
      'HSET',
      `rc1:${clusterName}:p:r`,
      'v',
      '9',
      ...fields,
      `${other}x`,
      '[',
      ...good,
    );
    expect(await board.read('r')).toEqual([[other, [{ ...share, info: '[1]' }]]]);
    await board.check();
    await node.broker.settled();
    expect(node.causes).toEqual([]);
    await node.broker.close();
  });

  it('does not hand the board a link that ended while rooms were resumed over it (V8)', async () => {
    // Resuming begins in 450 ms.
    const random = vi.spyOn(Math, 'random').mockReturnValue(0.9);
    const original = RedisBoard.prototype.up;
    const opened: boolean[] = [];
    const up = vi.spyOn(RedisBoard.prototype, 'up').mockImplementation(function (
      this: RedisBoard,
      link,
    ) {
      opened.push(link.isOpen);
      return original.call(this, link);
    });
    clusters += 1;
    const a = await new RedisNode({ url: redis.url, clusterName: `b${clusters}` }).up();
    await a.broker.subscribe('r', new AbortController().signal);
    const cut = () => redis.ask('CLIENT', 'KILL', 'TYPE', 'pubsub', 'SKIPME', 'yes');
    await cut();
    await a.until(() => a.causes.length === 1);
    // Publishes work over the next link before its rooms are resumed.
    for (let isLinked = false; !isLinked; ) {
      const published = async () =>
        a.broker.publish('r', { data: '1', from: null }, { deadline: performance.now() + 3000 });
      isLinked = await published().then(
        () => true,
        () => new Promise<false>((resolve) => setImmediate(resolve, false)),
      );
    }
    await cut();
    await a.until(() => a.causes.length === 2);
    await a.up();
    expect(opened.filter((isOpen) => !isOpen)).toEqual([]);
    up.mockRestore();
    random.mockRestore();
    await a.broker.close();
  });
});

it('of concurrent reads of a room applies only the last, and what changed meanwhile', async () => {
  vi.useFakeTimers();
  const keys = new Keys('c');
  const board = new RedisBoard({ node: 'me', keys, idleRoomMs: 1, tickMs: 100, unreadable() {} });
  const confirms: (() => void)[] = [];
  const answers: (() => void)[] = [];
  const link = {
    subscribe: () => new Promise<void>((resolve) => confirms.push(resolve)),
    unsubscribe: async () => {},
    // The rooms are empty at version 5.
    async run(script: Script, [, ...rooms]: string[]) {
      if (script !== PRESENT) return;
      return new Promise((resolve) => answers.push(() => resolve(rooms.map(() => ['5']))));
    },
  } as unknown as Link;
  const users: unknown[] = [];
  const told = (_: string, __: string, shares: readonly Share[], isWhole: boolean) => {
    if (isWhole) users.splice(0);
    users.push(...shares.map(({ user }) => user));
  };
  board.attach({ told, gone() {}, own: () => [], rooms: () => [] });
  const turn = () => vi.advanceTimersByTimeAsync(0);
  board.enter('r');
  await board.up(link);
  await turn();
  // Its channel is not confirmed yet, so that `r` is opened, and read, with this one again.
  board.enter('s');
  await turn();
  for (const confirm of confirms) confirm();
  await turn();
  expect(answers).toHaveLength(2);
  answers[0]?.();
  await turn();
  const share = { user: 'u', connections: 1, since: 1, at: 1 };
  board.message(keys.board('r'), `6 ${'o'.repeat(16)} 0 ${JSON.stringify([share])}`);
  answers[1]?.();
  await turn();
  expect(users).toEqual(['u']);
  board.message(keys.board('r'), `7 ${'o'.repeat(16)} 0 ${JSON.stringify([share])}`);
  expect(answers).toHaveLength(2);
  board.close();
  vi.useRealTimers();
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

/** A board that has lost its link, with two other nodes in a room, of which Redis now knows nothing. */
async function cutOff() {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const keys = new Keys('c');
  const board = new RedisBoard({ node: 'me', keys, idleRoomMs: 1, tickMs: 100, unreadable() {} });
  // No lease, and no share.
  const link = {
    subscribe: async () => {},
    unsubscribe: async () => {},
    run: async (script: Script) => (script === ALIVE ? [0, 0] : [['1']]),
  } as unknown as Link;
  const gone = vi.fn();
  const told = vi.fn();
  board.attach({ told, gone, own: () => [], rooms: () => [] });
  board.enter('r');
  await board.up(link);
  await vi.advanceTimersByTimeAsync(0);
  const nodes = ['e', 'l'].map((letter) => letter.repeat(16));
  /** The other nodes tell their shares, at this version and the next. */
  const say = (v: number) => {
    for (const [i, node] of nodes.entries()) {
      board.message(keys.board('r'), `${v + i} ${node} 1 []`);
    }
  };
  say(2);
  board.down();
  told.mockClear();
  onTestFinished(() => board.close());
  return { board, link, gone, told, say, all: nodes.map((node) => ['r', node, [], true]) };
}

it('reports no node as gone that has yet to come back after a lost link, and then every missing one', async () => {
  const { board, link, gone, told, all } = await cutOff();
  await board.up(link);
  await vi.advanceTimersByTimeAsync(4999);
  expect(told).not.toHaveBeenCalled();
  expect(gone).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  expect(told.mock.calls).toEqual(all);
});

it('reports them after as long with a link that is lost again and again', async () => {
  const { board, link, gone, told, say, all } = await cutOff();
  for (let n = 0; n < 2; n += 1) {
    await board.up(link);
    await vi.advanceTimersByTimeAsync(2000);
    board.down();
    // Nobody can come back meanwhile.
    await vi.advanceTimersByTimeAsync(60_000);
  }
  await board.up(link);
  await vi.advanceTimersByTimeAsync(999);
  expect(told).not.toHaveBeenCalled();
  expect(gone).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  expect(told.mock.calls).toEqual(all);
  // The rooms have been read, so the next loss counts anew.
  say(2);
  board.down();
  told.mockClear();
  await board.up(link);
  await vi.advanceTimersByTimeAsync(4999);
  expect(told).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  expect(told.mock.calls).toEqual(all);
});

it('reports them even if the link is lost whenever the rooms are read', async () => {
  const { board, link, told, all } = await cutOff();
  const silent = { ...link, run: () => new Promise(() => {}) } as unknown as Link;
  await board.up(silent);
  await vi.advanceTimersByTimeAsync(5000);
  board.down();
  await board.up(link);
  await vi.advanceTimersByTimeAsync(10);
  expect(told.mock.calls).toEqual(all);
});
