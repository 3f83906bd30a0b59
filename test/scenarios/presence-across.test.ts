/**
 * Presence in a room with members at several workers and several nodes: one list, and the same answer
 * from each of them (V19).
 */
import { on, once } from 'node:events';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import type { Received } from '../support/fake-transport.js';
import { PresenceView } from '../support/presence.js';
import { hasRedis, type RedisServer, startRedis } from '../support/redis-server.js';
import { serve } from '../support/server.js';
import { EVERYTHING, SECRET, tokenOf } from '../support/tokens.js';
import { WorkersServer } from '../support/workers.js';

const ROOM = 'chat:lobby';
const POLL = { interval: 10, timeout: 20_000 };

/** A user, or an anonymous member, who watches a room. */
class Watcher {
  readonly view = new PresenceView();
  isClosed = false;

  private constructor(readonly socket: WebSocket) {
    socket.on('error', () => {});
    socket.on('message', (text) => this.view.hear(JSON.parse(String(text)) as Received));
    socket.on('close', () => {
      this.isClosed = true;
    });
    onTestFinished(() => socket.terminate());
  }

  static async join(url: string, user: string | null, info?: unknown): Promise<Watcher> {
    const claims = { sub: user, rooms: EVERYTHING, ...(info !== undefined && { info }) };
    const headers = user === null ? {} : { authorization: `Bearer ${tokenOf(claims)}` };
    const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`, { headers });
    const watcher = new Watcher(socket);
    await once(socket, 'message');
    socket.send(JSON.stringify({ type: 'join', id: 1, room: ROOM, presence: true }));
    // The next user must not join before this one has.
    for await (const [text] of on(socket, 'message')) {
      const { type, code } = JSON.parse(String(text)) as { type: string; code?: string };
      if (type === 'error') throw new Error(`the join was refused: ${code}`);
      if (type === 'joined') break;
    }
    return watcher;
  }

  get users(): string[] {
    return [...this.view.users.keys()].sort();
  }
}

const listOf = async (url: string) => {
  const response = await fetch(`${url}/v1/rooms/${ROOM}/presence?limit=100`);
  return (await response.json()) as {
    counts: object;
    users: { user: string; connections: number; info?: unknown }[];
  };
};

/** Waits until all watchers have this list and every server answers with it. */
async function know(watchers: readonly Watcher[], urls: readonly string[], users: string[]) {
  for (const watcher of watchers) await expect.poll(() => watcher.users, POLL).toEqual(users);
  for (const url of urls) {
    await expect
      .poll(async () => (await listOf(url)).users.map(({ user }) => user).sort(), POLL)
      .toEqual(users);
  }
}

const OPTIONS = {
  tokenSecret: [SECRET],
  anonymous: true,
  joinBy: 'anyone' as const,
  presenceBy: 'anyone' as const,
  presence: 'users' as const,
  presenceIntervalMs: 50,
};

test('across workers, also while one is killed and its users return', async () => {
  const flags = ['--token-secret', SECRET, '--anonymous', 'true', '--presence', 'users'];
  const workers = await WorkersServer.start(
    2,
    ...flags,
    ...['--join-by', 'anyone', '--presence-by', 'anyone', '--presence-interval-ms', '50'],
    ...['--drain-ms', '0', '--lame-duck-ms', '0'],
  );
  // Connections go to the workers in turn; the API is queried at each of them.
  const urls = Array.from({ length: 4 }, () => workers.url);
  const watchers: Watcher[] = [];
  for (const user of ['a', 'b', 'c', 'd']) {
    watchers.push(await Watcher.join(workers.url, user, { of: user }));
  }
  await know(watchers, urls, ['a', 'b', 'c', 'd']);
  // At each worker once.
  for (let n = 0; n < 2; n += 1) watchers.push(await Watcher.join(workers.url, 'both', { n }));
  watchers.push(await Watcher.join(workers.url, null));
  await know(watchers, urls, ['a', 'b', 'both', 'c', 'd']);
  for (const url of urls) {
    const counts = { users: 5, connections: 6, anonymous: 1 };
    await expect.poll(async () => (await listOf(url)).counts, POLL).toEqual(counts);
    const both = async () => (await listOf(url)).users.find(({ user }) => user === 'both');
    await expect.poll(both, POLL).toMatchObject({ connections: 2, info: { n: 1 } });
  }
  for (const { view } of watchers) await expect.poll(() => view.counts.anonymous, POLL).toBe(1);

  workers.kill(0, 'SIGKILL');
  await workers.served(0, 2);
  // Each worker had some of them.
  await expect
    .poll(() => watchers.filter(({ isClosed }) => isClosed).length, POLL)
    .toBeGreaterThan(0);
  const living = watchers.filter(({ isClosed }) => !isClosed);
  expect(living.length).toBeGreaterThan(0);
  const before = living.map(({ view }) => view.events.length);
  const gone = ['a', 'b', 'c', 'd'].filter((_, i) => watchers[i]?.isClosed);
  const back: Watcher[] = [];
  for (const user of gone) back.push(await Watcher.join(workers.url, user, { of: user }));
  await know([...living, ...back], urls, ['a', 'b', 'both', 'c', 'd']);
  // No user was reported as left or joined.
  expect(living.map(({ view }) => view.events.length)).toEqual(before);

  // A user who stayed at one worker leaves, and all watchers learn of it.
  const leaving = living.find((each) => watchers.indexOf(each) < 4) as Watcher;
  const left = ['a', 'b', 'c', 'd'][watchers.indexOf(leaving)];
  leaving.socket.send(JSON.stringify({ type: 'leave', room: ROOM }));
  const users = ['a', 'b', 'both', 'c', 'd'].filter((user) => user !== left);
  await know([...living.filter((each) => each !== leaving), ...back], urls, users);
}, 60_000);

describe.skipIf(!hasRedis)('over Redis', () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(async () => {
    await redis.close();
  });

  test('across nodes, also from a node without members in the room, and after Redis has lost everything', async () => {
    const options = {
      ...OPTIONS,
      broker: 'redis' as const,
      redisUrl: redis.url,
      brokerTickMs: 200,
      presenceLingerMs: 0,
    };
    const [a, b, c] = [await serve(options), await serve(options), await serve(options)];
    const ann = await Watcher.join(a.url, 'ann', { n: 1 });
    const ben = await Watcher.join(b.url, 'ben');
    const both = [await Watcher.join(a.url, 'both'), await Watcher.join(b.url, 'both')];
    const watchers = [ann, ben, ...both];
    const urls = [a.url, b.url, c.url];
    await know(watchers, urls, ['ann', 'ben', 'both']);
    for (const url of urls) {
      const counts = { users: 3, connections: 4, anonymous: 0 };
      await expect.poll(async () => (await listOf(url)).counts, POLL).toEqual(counts);
      const one = await fetch(`${url}/v1/rooms/${ROOM}/presence/ann`);
      expect(await one.json()).toMatchObject({ connections: 1, info: { n: 1 } });
    }
    both[0]?.socket.close();
    await expect.poll(() => ben.view.counts.connections, POLL).toBe(3);
    await know([ann, ben], urls, ['ann', 'ben', 'both']);
    both[1]?.socket.close();
    await know([ann, ben], urls, ['ann', 'ben']);

    const nobody = await fetch(`${c.url}/v1/rooms/other/presence`);
    expect(await nobody.json()).toMatchObject({ users: [], counts: { users: 0 } });
    await redis.kill();
    await expect
      .poll(async () => (await fetch(`${c.url}/v1/rooms/${ROOM}/presence`)).status, POLL)
      .toBe(503);
    await redis.start();
    await Watcher.join(c.url, 'cas');
    await know([ann, ben], urls, ['ann', 'ben', 'cas']);
    // No user was reported as left or joined: an isolated node returns within its lease.
    expect(ann.view.events).not.toContain('-ben');
  });
});
