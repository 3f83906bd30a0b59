/**
 * Several servers over one Redis, with real members: a message published on one reaches all, and losses
 * are reported.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Position } from '../../src/protocol/events.js';
import type { Received } from '../support/fake-transport.js';
import { connectReading, type ReadingPeer } from '../support/reading-peer.js';
import { hasRedis, type RedisServer, startRedis } from '../support/redis-server.js';
import { serve } from '../support/server.js';

const ROOM = 'chat:lobby';

async function join(url: string, since?: Position) {
  const peer = await connectReading('websocket', url);
  peer.say({ type: 'join', id: 1, room: ROOM, ...(since ? { since } : {}) });
  const isAnswer = ({ type }: Received) => type === 'joined';
  await peer.until(() => peer.events.some(isAnswer));
  return { peer, joined: peer.events.find(isAnswer) as Received & { type: 'joined' } };
}

/** Messages by their data, gaps, resets and notices. */
const told = ({ events }: ReadingPeer) =>
  events.flatMap<unknown>((event) => {
    if (event.type === 'message') return [event.data];
    if (event.type === 'gap') return [`gap ${event.from}-${event.to}`];
    if (event.type === 'reset') return [`reset to ${event.seq}, was ${event.was.seq}`];
    if (event.type === 'broker') return [event.state];
    return [];
  });

describe.skipIf(!hasRedis)('over Redis', () => {
  let redis: RedisServer;
  let clusters = 0;

  beforeAll(async () => {
    redis = await startRedis('--requirepass', 'good');
  });

  afterAll(async () => {
    await redis.close();
  });

  const options = () => ({
    broker: 'redis' as const,
    redisUrl: redis.url.replace('redis://', 'redis://:good@'),
    brokerTickMs: 200,
    clusterName: `s${clusters}`,
  });

  test('a room is one, whichever nodes its members and publishers use', async () => {
    clusters += 1;
    const [a, b] = [await serve(options()), await serve(options())];
    const first = await join(a.url);
    const second = await join(b.url);
    expect(second.joined.epoch).toBe(first.joined.epoch);
    first.peer.say({ type: 'publish', id: 2, room: ROOM, data: 'from a' });
    await second.peer.until(() => told(second.peer).length === 1);
    expect(await b.publish(ROOM, 'from b')).toMatchObject({ seq: 2 });
    for (const { peer } of [first, second]) await peer.until(() => told(peer).length === 2);
    expect(told(first.peer)).toEqual(['from a', 'from b']);
    expect(told(second.peer)).toEqual(['from a', 'from b']);
  });

  test('the live page of each node lists all nodes', async () => {
    clusters += 1;
    const [a, b] = [await serve(options()), await serve(options())];
    await join(b.url);
    const ended = new AbortController();
    const { body } = await fetch(`${a.url}/v1/live`, { signal: ended.signal });
    let text = '';
    const isThere = () =>
      [...text.matchAll(/^data: (.*)$/gm)].some(([, line]) => {
        const { servers } = JSON.parse(line as string) as { servers?: { members: number }[] };
        return servers?.length === 2 && servers.some(({ members }) => members === 1);
      });
    for await (const chunk of body as ReadableStream<Uint8Array>) {
      text += new TextDecoder().decode(chunk);
      if (text.endsWith('\n\n') && isThere()) break;
    }
    ended.abort();
    expect(isThere()).toBe(true);
  });

  test('a restart of Redis is reported, and the rooms go on', async () => {
    clusters += 1;
    const own = await startRedis();
    const server = await serve({ ...options(), redisUrl: own.url });
    const { peer } = await join(server.url);
    await server.publish(ROOM, 'before');
    await peer.until(() => told(peer).length === 1);
    await own.kill();
    await peer.until(() => told(peer).includes('suspended'));
    await expect(server.publish(ROOM, 'into the void')).rejects.toMatchObject({
      code: 'broker_unavailable',
    });
    expect((await fetch(`${server.url}/readyz`)).status).toBe(503);
    await own.start();
    await peer.until(() => told(peer).includes('up'));
    await server.publish(ROOM, 'after');
    await peer.until(() => told(peer).includes('after'));
    const resets = told(peer).filter((one) => String(one).startsWith('reset'));
    expect(resets).toEqual(['reset to 0, was 1']);
    expect(told(peer)).not.toContain('into the void');
    expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
    await own.close();
  });

  test('a wrong password, a replica and an invalid address are refused at the start, in one line', async () => {
    clusters += 1;
    const wrong = { ...options(), redisUrl: redis.url.replace('redis://', 'redis://:bad@') };
    await expect(serve(wrong)).rejects.toMatchObject({
      code: 'bad_option',
      option: 'redisUrl',
      message: expect.stringMatching(
        /^redisUrl \(not shown\) cannot be used: WRONGPASS.*; give [^\n]+$/,
      ),
    });
    await expect(serve({ broker: 'redis' })).rejects.toMatchObject({
      code: 'unfit_options',
      option: 'redisUrl',
    });
    await expect(serve({ broker: 'redis', redisUrl: 'http://127.0.0.1' })).rejects.toMatchObject({
      code: 'bad_option',
      option: 'redisUrl',
    });
  });

  test('a server starts without Redis, reports it, and serves once Redis is up', async () => {
    clusters += 1;
    const own = await startRedis();
    await own.kill();
    const lines: string[] = [];
    const line = (_: object, text: string) => void lines.push(text);
    const log = { info: line, warn: line, error: line };
    const server = await serve({ ...options(), redisUrl: own.url }, log);
    expect((await fetch(`${server.url}/readyz`)).status).toBe(503);
    expect(lines.filter((text) => text.startsWith('Redis cannot be reached'))).toHaveLength(1);
    await own.start();
    const { joined } = await join(server.url);
    expect(joined.seq).toBe(0);
    expect(lines).toContain('Redis is back');
    await own.close();
  });
});
