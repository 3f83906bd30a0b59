/**
 * History of rooms in Redis, as members and the HTTP API get it: at every node, whichever node
 * published, also after the node of a member has died (V17, V18).
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Config } from '../../src/options/config.js';
import type { Position } from '../../src/protocol/events.js';
import type { TransportName } from '../../src/transport/transport.js';
import type { Received } from '../support/fake-transport.js';
import { connectReading, type ReadingPeer } from '../support/reading-peer.js';
import { hasRedis, type RedisServer, startRedis } from '../support/redis-server.js';
import { serve, startServer } from '../support/server.js';

const ROOM = 'chat:lobby';

type Told<Type> = Extract<Received, { type: Type }>;
const all = <Type extends Received['type']>({ events }: ReadingPeer, type: Type) =>
  events.filter((event): event is Told<Type> => event.type === type);
const numbers = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);
/** Messages by number, gaps by range and reason, in the order they came. */
const story = ({ events }: ReadingPeer) =>
  events.flatMap<number | string>((event) => {
    if (event.type === 'message') return [event.seq];
    return event.type === 'gap' ? [`${event.from}-${event.to} ${event.reason}`] : [];
  });

async function join(url: string, wanting: object = {}, name: TransportName = 'websocket') {
  const peer = await connectReading(name, url);
  peer.say({ type: 'join', id: 1, room: ROOM, ...wanting });
  await peer.until(() => all(peer, 'joined').length + all(peer, 'error').length > 0);
  return { peer, joined: all(peer, 'joined')[0] as Told<'joined'> };
}

describe.skipIf(!hasRedis)('history over Redis', () => {
  let redis: RedisServer;
  let clusters = 0;

  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.close());

  const options = (config: Partial<Config> = {}): Partial<Config> => ({
    broker: 'redis',
    redisUrl: redis.url,
    clusterName: `h${clusters}`,
    historyMessages: 1000,
    ...config,
  });

  async function twoNodes(config: Partial<Config> = {}) {
    clusters += 1;
    return [await serve(options(config)), await serve(options(config))] as const;
  }

  test('a member that returns to another node misses nothing', async () => {
    clusters += 1;
    const first = await startServer(options());
    const second = await serve(options());
    const { peer, joined } = await join(first.url);
    for (const n of numbers(1, 20)) await first.publish(ROOM, n);
    await peer.until(() => story(peer).length === 20);
    await first.close();
    // The room has no member on any node.
    for (const n of numbers(21, 60)) await second.publish(ROOM, n);
    for (const name of ['websocket', 'xhr-polling'] as const) {
      const since: Position = { epoch: joined.epoch, seq: 20 };
      const back = await join(second.url, { since }, name);
      expect(back.joined.recover).toEqual({ result: 'complete', from: 21, to: 60 });
      await back.peer.until(() => story(back.peer).length === 40);
      expect(story(back.peer)).toEqual(numbers(21, 60));
      expect(all(back.peer, 'message').map(({ data }) => data)).toEqual(numbers(21, 60));
    }
  });

  test('a member catches up with a live room, at both nodes', async () => {
    const [a, b] = await twoNodes();
    const { peer, joined } = await join(a.url);
    for (const n of numbers(1, 300)) await a.publish(ROOM, `${n} ${'x'.repeat(500)}`);
    await peer.until(() => story(peer).length === 300);
    let isOver = false;
    let published = 300;
    const goOn = (async () => {
      while (!isOver) {
        published += 1;
        await (published % 2 === 0 ? a : b).publish(ROOM, published);
      }
    })();
    const back = await join(b.url, { since: { epoch: joined.epoch, seq: 3 } });
    await back.peer.until(() => story(back.peer).length > 350);
    isOver = true;
    await goOn;
    await back.peer.until(() => story(back.peer).at(-1) === published);
    expect(story(back.peer)).toEqual(numbers(4, published));
    expect(back.joined.recover).toMatchObject({ result: 'complete', from: 4 });
  });

  test('expired messages are a gap, and the last few are delivered', async () => {
    const [a, b] = await twoNodes({ historyMessages: 10 });
    const { peer, joined } = await join(a.url);
    for (const n of numbers(1, 30)) await a.publish(ROOM, n);
    await peer.until(() => story(peer).length === 30);
    const back = await join(b.url, { since: { epoch: joined.epoch, seq: 5 } });
    expect(back.joined.recover).toEqual({ result: 'partial', from: 6, to: 30 });
    await back.peer.until(() => story(back.peer).at(-1) === 30);
    expect(story(back.peer)).toEqual(['6-20 expired', ...numbers(21, 30)]);
    const last = await join(b.url, { last: 3 });
    expect(last.joined.recover).toEqual({ result: 'complete', from: 28, to: 30 });
    await last.peer.until(() => story(last.peer).at(-1) === 30);
    expect(story(last.peer)).toEqual([28, 29, 30]);
  });

  test('a member rereads a part of it, at the other node', async () => {
    const [a, b] = await twoNodes();
    const { peer } = await join(b.url);
    expect(all(peer, 'welcome')[0]?.features).toContain('history');
    for (const n of numbers(1, 100)) await a.publish(ROOM, { n, text: 'é'.repeat(300) });
    await peer.until(() => story(peer).length === 100);
    peer.say({ type: 'history', id: 9, room: ROOM, from: 41, to: 90 });
    await peer.until(() => all(peer, 'history').length > 0);
    const past = all(peer, 'past').flatMap(({ messages }) => messages);
    expect(past.map(({ seq }) => seq)).toEqual(numbers(41, 90));
    const live = all(peer, 'message').slice(40, 90);
    expect(past).toEqual(live.map(({ type, room, ...message }) => message));
    expect(all(peer, 'history')).toMatchObject([{ id: 9, count: 50, missing: [] }]);
  });

  test('the HTTP API of every node reads it page by page, purges it, and reports the oldest', async () => {
    const [a, b] = await twoNodes();
    const { peer, joined } = await join(a.url);
    for (const n of numbers(1, 25)) await a.publish(ROOM, n);
    await peer.until(() => story(peer).length === 25);
    const path = `/v1/rooms/${ROOM}/messages`;
    const ask = async (url: string, of: string, method = 'GET') => {
      const response = await fetch(url + of, { method });
      const text = await response.text();
      return { status: response.status, body: text === '' ? null : JSON.parse(text) };
    };
    const { epoch } = joined;
    const first = await ask(b.url, `${path}?limit=20`);
    expect(first.body).toMatchObject({ room: ROOM, epoch, seq: 25, oldest: 1, next: 21 });
    const rest = await ask(b.url, `${path}?from=21&limit=20`);
    const messages = [...first.body.messages, ...rest.body.messages] as { data: unknown }[];
    expect(messages.map(({ data }) => data)).toEqual(numbers(1, 25));
    expect(await ask(b.url, `${path}?through=10`, 'DELETE')).toMatchObject({ status: 204 });
    expect((await ask(a.url, path)).body).toMatchObject({ epoch, seq: 25, oldest: 11 });
    expect((await ask(a.url, `${path}?last=2`)).body.messages).toMatchObject([
      { seq: 24 },
      { seq: 25 },
    ]);
    expect((await ask(a.url, `/v1/rooms/${ROOM}`)).body).toMatchObject({ seq: 25, oldest: 11 });
    const back = await join(b.url, { since: { epoch, seq: 3 } });
    await back.peer.until(() => story(back.peer).at(-1) === 25);
    expect(story(back.peer)).toEqual(['4-10 expired', ...numbers(11, 25)]);
  });

  test('a restart of Redis starts a new epoch with a new history', async () => {
    clusters += 1;
    const own = await startRedis();
    const server = await serve(options({ redisUrl: own.url, brokerTickMs: 200 }));
    const { peer, joined } = await join(server.url);
    for (const n of [1, 2, 3]) await server.publish(ROOM, n);
    await peer.until(() => story(peer).length === 3);
    await own.kill();
    await peer.until(() => all(peer, 'broker').at(-1)?.state === 'suspended');
    const path = `${server.url}/v1/rooms/${ROOM}/messages`;
    expect((await fetch(path)).status).toBe(503);
    // Requests are refused meanwhile, and the connection stays.
    peer.say({ type: 'history', id: 5, room: ROOM, from: 1, to: 3 });
    await peer.until(() => all(peer, 'error').length === 1);
    expect(all(peer, 'error')).toMatchObject([{ id: 5, code: 'broker_unavailable' }]);
    await own.start();
    await peer.until(() => all(peer, 'reset').length === 1);
    await server.publish(ROOM, 'after');
    const back = await join(server.url, { since: { epoch: joined.epoch, seq: 2 } });
    expect(back.joined.recover).toEqual({ result: 'epoch_changed' });
    const last = await join(server.url, { last: 10 });
    await last.peer.until(() => story(last.peer).length === 1);
    expect(all(last.peer, 'message')).toMatchObject([{ seq: 1, data: 'after' }]);
    await own.close();
  });

  test('a Redis user needs no more rights than docs/redis.md lists', async () => {
    clusters += 1;
    const text = readFileSync(new URL('../../docs/redis.md', import.meta.url), 'utf8');
    const rights = /With an ACL, a user needs:\n\n((?: {4}.+\n)+)/
      .exec(text)?.[1]
      ?.trim()
      .split(/\s+/);
    await redis.ask('ACL', 'SETUSER', 'rooms', 'on', '>good', ...(rights as string[]));
    const redisUrl = redis.url.replace('redis://', 'redis://rooms:good@');
    const { url, publish } = await serve(options({ redisUrl, historyMessages: 2 }));
    const { peer } = await join(url);
    for (const n of numbers(1, 4)) peer.say({ type: 'publish', room: ROOM, data: n, uid: `${n}` });
    await peer.until(() => story(peer).length === 4);
    await publish(ROOM, 5);
    const path = `${url}/v1/rooms/${ROOM}/messages`;
    expect((await fetch(`${path}?through=4`, { method: 'DELETE' })).status).toBe(204);
    expect(await (await fetch(path)).json()).toMatchObject({ seq: 5, oldest: 5 });
    peer.say({ type: 'leave', id: 2, room: ROOM });
    await peer.until(() => all(peer, 'left').length === 1);
    // A missing right.
    await redis.ask('ACL', 'SETUSER', 'rooms', '-xtrim');
    expect((await fetch(`${path}?through=5`, { method: 'DELETE' })).status).toBe(503);
  });

  test('a namespace may keep none, and an option without effect is reported', async () => {
    clusters += 1;
    const lines: string[] = [];
    const line = (_: object, text: string) => void lines.push(text);
    const namespaces = { news: { historyMessages: 0 } };
    const server = await serve(options({ namespaces, historyBytesTotal: 200_000_000 }), {
      info: line,
      warn: line,
      error: line,
    });
    expect((await fetch(`${server.url}/v1/rooms/news:a/messages`)).status).toBe(409);
    expect((await fetch(`${server.url}/v1/rooms/${ROOM}/messages`)).status).toBe(200);
    expect(lines).toContainEqual(expect.stringContaining('historyBytesTotal has no effect'));
    expect(lines.join()).not.toContain('historyMessages has no effect');
  });
});
