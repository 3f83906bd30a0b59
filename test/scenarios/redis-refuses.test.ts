/**
 * A Redis that answers but refuses all writes: it has no memory, no replicas, or no disk. Publishes are
 * refused as certain, and nothing else changes for members: rooms, history and presence stay, also
 * when no node could renew its lease (V19, V22).
 */
import { mkdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createClient } from '@redis/client';
import { describe, expect, test } from 'vitest';
import { connectReading } from '../support/reading-peer.js';
import { RedisScene } from '../support/redis-scene.js';
import { hasRedis, type RedisServer } from '../support/redis-server.js';

const ROOM = 'chat:lobby';
const OTHER = 'chat:other';
const POLL = { timeout: 20_000, interval: 50 };

/** A way to refuse writes: the setting that begins it, and what comes before and after. */
interface Way {
  readonly name: string;
  readonly code: string;
  readonly setting: readonly [name: string, value: string];
  prepare(redis: RedisServer): Promise<void>;
  end(redis: RedisServer): Promise<void>;
}

/** The file that Redis writes: a folder in its place makes that fail. */
const savedFile = async (redis: RedisServer) => {
  const [, folder] = (await redis.ask('CONFIG', 'GET', 'dir')) as [string, string];
  return join(folder, 'dump.rdb');
};

const save = async (redis: RedisServer, outcome: string) => {
  await redis.ask('BGSAVE');
  const facts = async () => String(await redis.ask('INFO', 'persistence'));
  await expect.poll(facts, POLL).toContain(`rdb_last_bgsave_status:${outcome}`);
};

const set = (name: string, value: string) => async (redis: RedisServer) =>
  void (await redis.ask('CONFIG', 'SET', name, value));

const WAYS: readonly Way[] = [
  {
    name: 'is full',
    code: 'OOM',
    setting: ['maxmemory', '1'],
    prepare: async () => {},
    end: set('maxmemory', '0'),
  },
  {
    name: 'is without replicas',
    code: 'NOREPLICAS',
    setting: ['min-replicas-to-write', '1'],
    prepare: async () => {},
    end: set('min-replicas-to-write', '0'),
  },
  {
    name: 'cannot save',
    code: 'MISCONF',
    setting: ['stop-writes-on-bgsave-error', 'yes'],
    async prepare(redis) {
      await redis.ask('CONFIG', 'SET', 'stop-writes-on-bgsave-error', 'no', 'save', '3600 1');
      await mkdir(await savedFile(redis));
      await save(redis, 'err');
    },
    async end(redis) {
      await rmdir(await savedFile(redis));
      await save(redis, 'ok');
    },
  },
];

/** Refuses writes from now on, with all leases about to expire. */
async function refuse(redis: RedisServer, [name, value]: Way['setting']): Promise<void> {
  const leases = (await redis.ask('KEYS', 'rc1:roomcast:n:*')) as string[];
  expect(leases).toHaveLength(2);
  const client = createClient({ url: redis.url, RESP: 2 });
  await client.connect();
  const both = client.multi();
  for (const lease of leases) both.addCommand(['PEXPIRE', lease, '1']);
  await both.addCommand(['CONFIG', 'SET', name, value]).exec();
  client.destroy();
}

/** Resolves after some more heartbeats and checks of leases. */
async function goOn(redis: RedisServer): Promise<void> {
  const calls = async () => {
    const stats = String(await redis.ask('INFO', 'commandstats'));
    return Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1]);
  };
  const before = await calls();
  await expect.poll(calls, POLL).toBeGreaterThan(before + 12);
}

describe.skipIf(!hasRedis)('a Redis that', () => {
  test.each(WAYS)('$name refuses publishes as certain, and nothing else happens', async (way) => {
    const lines: string[] = [];
    const note = (_: object, text: string) => void lines.push(text);
    const scene = await RedisScene.start({
      options: {
        brokerTimeoutMs: 1500,
        // A fork for BGSAVE stops Redis for a moment.
        brokerTickMs: 500,
        historyMessages: 100,
        presence: 'users',
        presenceBy: 'anyone',
        presenceLingerMs: 0,
        presenceIntervalMs: 50,
      },
      log: { info() {}, warn: note, error: note },
    });
    const { redis } = scene;
    const urls = scene.nodes.map(({ server }) => server.url) as [string, string];
    const get = async (node: number, path: string) => {
      const answer = await fetch(`${urls[node]}${path}`);
      return (await answer.json()) as Record<string, unknown>;
    };
    const members = [await scene.join(0, ROOM), await scene.join(1, ROOM)];
    const watcher = await connectReading('websocket', urls[1]);
    const ask = async (command: { readonly id: number; readonly [name: string]: unknown }) => {
      watcher.say(command);
      const answer = () => watcher.events.find((each) => 'id' in each && each.id === command.id);
      await watcher.until(() => answer() !== undefined);
      return answer();
    };
    await ask({ id: 1, type: 'join', room: ROOM, presence: true });
    const present = () =>
      watcher.events.flatMap((each) => ('counts' in each ? [each.counts.anonymous] : []));
    await watcher.until(() => present().at(-1) === 3);
    for (const node of [0, 1, 0, 1]) await scene.publish(node, ROOM);
    await way.prepare(redis);
    lines.splice(0);
    const told = present().length;

    await refuse(redis, way.setting);
    const refused = { code: 'broker_unavailable', message: expect.stringContaining(way.code) };
    for (const node of [0, 1]) expect(await scene.publish(node, ROOM)).toBe('refused');
    expect(await ask({ type: 'publish', id: 2, room: ROOM, data: 1 })).toMatchObject(refused);
    // Rooms known to this node can be joined; others cannot be opened.
    await scene.join(1, ROOM);
    expect(await ask({ type: 'join', id: 3, room: OTHER })).toMatchObject(refused);
    await goOn(redis);
    for (const node of [0, 1]) {
      expect(await get(node, '/readyz')).toEqual({ status: 'ready' });
      expect(await get(node, `/v1/rooms/${ROOM}/messages`)).toMatchObject({ seq: 4 });
    }
    const seen = async (node: number) =>
      ((await get(node, `/v1/rooms/${ROOM}/presence`))['counts'] as { anonymous: number })
        .anonymous;
    // A full Redis may take the one that came meanwhile.
    for (const node of [0, 1]) expect(await seen(node)).toBeGreaterThanOrEqual(3);
    const refuses = `Redis refuses writes: ${way.code}`;
    expect(lines).toEqual([refuses, refuses].map((text) => expect.stringContaining(text)));

    await way.end(redis);
    expect(await scene.account([0, 1], members)).toEqual([]);
    expect(members.flatMap(({ notices }) => notices)).toEqual([]);
    expect(await ask({ type: 'join', id: 4, room: OTHER })).toMatchObject({
      type: 'joined',
    });
    // Node 0 hears of the member that came meanwhile. Nobody was ever missing.
    for (const node of [0, 1]) await expect.poll(() => seen(node), POLL).toBe(4);
    await goOn(redis);
    // Nobody was ever missing.
    expect(new Set(present().slice(told))).toEqual(new Set([4]));
    expect(lines).toHaveLength(2);
  });
});
