/**
 * With history, a returning member misses nothing, and a gap is filled while live messages go on, over
 * real connections on every transport (V17, V18). Without history, see `positions.test.ts`.
 *
 * `ROOMCAST_TEST_RECOVER_BYTES=1073741824` makes the slow reader recover 1 GiB.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { describe, expect, onTestFinished, test } from 'vitest';
import { CLOSE } from '../../src/errors.js';
import type { Position } from '../../src/protocol/events.js';
import { BATCH_BYTES } from '../../src/room/outbox.js';
import { startTestServer } from '../../src/testing.js';
import { TRANSPORTS, type TransportName } from '../../src/transport/transport.js';
import { apiOf } from '../support/api.js';
import type { Received } from '../support/fake-transport.js';
import { serveProcess } from '../support/process.js';
import { connectReading, type ReadingPeer } from '../support/reading-peer.js';
import { serve } from '../support/server.js';

const ROOM = 'chat:lobby';
const MESSAGE = 'x'.repeat(16 * 1024);
const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
const KEEPS = { historyMessages: 100_000, historyBytes: GIB, historyBytesTotal: GIB } as const;

type Told<Type> = Extract<Received, { type: Type }>;
const all = <Type extends Received['type']>({ events }: ReadingPeer, type: Type) =>
  events.filter((event): event is Told<Type> => event.type === type);
const numbers = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);
const last = (peer: ReadingPeer) => all(peer, 'message').at(-1)?.seq ?? 0;

async function join(peer: ReadingPeer, since?: Position): Promise<Told<'joined'>> {
  peer.say({ type: 'join', id: 1, room: ROOM, ...(since && { since }) });
  await peer.until(() => all(peer, 'joined').length > 0);
  return all(peer, 'joined')[0] as Told<'joined'>;
}

describe.each(TRANSPORTS)('over %s', (name) => {
  test('a stalled member is evicted with 4101, and recovers everything it missed when it returns', async () => {
    const slow = { queueMessages: 40, stallAfterMs: 1000, heartbeatMs: 60_000 };
    const server = await serve({ ...KEEPS, ...slow });
    const api = apiOf(server.url);
    const peer = await connectReading(name, server.url);
    const { epoch } = await join(peer);
    await server.publish(ROOM, 'first');
    await peer.until(() => last(peer) === 1);
    peer.stall();
    let published = 1;
    while ((await api.member(peer.id)) !== null) {
      // More than the kernel buffers; SockJS over HTTP makes the peer poll again after 128 KiB.
      const isMore = published * MESSAGE.length < (name.endsWith('websocket') ? 12 : 0.5) * MIB;
      const count = isMore ? 16 : 1;
      await api.publish(ROOM, Array(count).fill(MESSAGE));
      published += count;
      if (!isMore) await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const scrape = await api.scrape();
    expect(scrape.sum('evictions_total', { reason: 'slow_consumer' })).toBe(1);
    peer.resume();
    // On a busy machine it may return too late to be told.
    expect([CLOSE.slow_consumer.code, 1006]).toContain(await peer.closed);

    const back = await connectReading(name, server.url);
    const since = { epoch, seq: last(peer) };
    expect(since.seq).toBeLessThan(published);
    const { recover } = await join(back, since);
    expect(recover).toEqual({ result: 'complete', from: since.seq + 1, to: published });
    await server.publish(ROOM, 'live');
    await back.until(() => last(back) === published + 1);
    expect(all(back, 'message').map(({ seq }) => seq)).toEqual(
      numbers(since.seq + 1, published + 1),
    );
    expect(all(back, 'gap')).toEqual([]);
  }, 30_000);

  test('the gap 43–57 is filled while live messages go on', async () => {
    const config = { ...KEEPS, queueMessages: 16, recoverAfterMs: 200 };
    const server = await startTestServer(config);
    onTestFinished(() => server.close());
    const peer = await connectReading(name, server.httpUrl);
    const { epoch } = await join(peer);
    for (let n = 1; n <= 41; n += 1) {
      await server.publish(ROOM, n);
      // No more than a poller's queue holds.
      if (n % 10 === 1) await peer.until(() => last(peer) === n);
    }
    const resume = server.stall(peer.id);
    // The first is in flight, and sixteen are queued at the end.
    for (let n = 0; n < 32; n += 1) {
      await server.publish(ROOM, n);
      await new Promise(setImmediate);
    }
    resume();
    await peer.until(() => last(peer) === 73);
    expect(all(peer, 'gap')).toMatchObject([{ from: 43, to: 57, count: 15, reason: 'overflow' }]);

    peer.say({ type: 'history', id: 9, room: ROOM, epoch, from: 43, to: 57 });
    let live = 73;
    while (all(peer, 'history').length === 0) {
      await server.publish(ROOM, live);
      live += 1;
      await peer.until(() => last(peer) === live || all(peer, 'history').length > 0);
    }
    await peer.until(() => last(peer) === live);
    const past = all(peer, 'past').flatMap(({ messages }) => messages);
    expect(past.map(({ seq }) => seq)).toEqual(numbers(43, 57));
    expect(past.map(({ data }) => data)).toEqual(numbers(1, 15));
    expect(all(peer, 'history')).toEqual([
      {
        type: 'history',
        id: 9,
        room: ROOM,
        epoch,
        from: 43,
        to: 57,
        count: 15,
        missing: [],
      },
    ]);
    expect(all(peer, 'message').map(({ seq }) => seq)).toEqual([
      ...numbers(1, 42),
      ...numbers(58, live),
    ]);
  });
});

/**
 * Joins and leaves a room repeatedly in a thread of its own, whose idle loop measures how long each
 * took.
 */
const JOINER = `
const { parentPort, workerData: { url, room } } = require('node:worker_threads');
const { WebSocket } = require('ws');
const socket = new WebSocket(url);
const took = [];
let id = 0;
let begun = 0;
const say = (type) => socket.send(JSON.stringify({ type, room, id: (id += 1) }));
const join = () => { begun = performance.now(); say('join'); };
socket.on('message', (data) => {
  const { type } = JSON.parse(String(data));
  if (type === 'joined') { took.push(performance.now() - begun); say('leave'); }
  if (type === 'welcome' || type === 'left') setTimeout(join, 5);
});
parentPort.on('message', (said) => {
  if (said === 'begin') took.length = 0;
  else parentPort.postMessage(took);
});
`;

test('others join while many members recover, and none waits for them', async () => {
  const data = 'x'.repeat(4000);
  const count = 200;
  const server = await serveProcess(
    ...['--history-messages', '1000', '--history-bytes', `${16 * MIB}`, '--join-rate', '0'],
  );
  const api = apiOf(server.url);
  const first = await connectReading('websocket', server.url);
  const { epoch } = await join(first);
  for (let n = 0; n < count; n += 50) await api.publish(ROOM, Array(50).fill(data));
  const names = Array.from({ length: 30 }, (_, n) => TRANSPORTS[n % TRANSPORTS.length]);
  const peers = await Promise.all(
    names.map((name) => connectReading(name as TransportName, server.url)),
  );
  const url = `${server.url.replace('http', 'ws')}/ws`;
  const joiner = new Worker(JOINER, { eval: true, workerData: { url, room: ROOM } });
  onTestFinished(() => joiner.terminate().then(() => {}));
  const took = async (): Promise<number[]> => {
    joiner.postMessage('end');
    return ((await once(joiner, 'message')) as [number[]])[0];
  };
  do await new Promise((resolve) => setTimeout(resolve, 50));
  while ((await took()).length < 5);
  joiner.postMessage('begin');
  const begun = performance.now();
  const since = { epoch, seq: 0 };
  for (const peer of peers) peer.say({ type: 'join', id: 1, room: ROOM, since });
  await Promise.all(peers.map((peer) => peer.until(() => last(peer) === count)));
  const all = performance.now() - begun;
  const joins = await took();
  for (const peer of peers) expect(peer.events.length).toBe(count + 2);
  // Others join and leave throughout the recovery, and none waits for a notable part of it: but two, in
  // which the machine may have been blocked.
  expect(joins.length).toBeGreaterThan(10);
  expect(joins.sort((a, b) => b - a)[2]! / all).toBeLessThan(0.25);
}, 60_000);

test('after a restart every member is answered epoch_changed, on every transport', async () => {
  const server = await serve(KEEPS);
  const first = await connectReading('websocket', server.url);
  const { epoch } = await join(first);
  for (let n = 0; n < 5; n += 1) await server.publish(ROOM, n);
  const restarted = await serve(KEEPS);
  const positions = [3, 6].map((seq) => ({ epoch, seq }));
  const comeBack = async (name: TransportName, since: Position) => {
    const peer = await connectReading(name, restarted.url);
    const { recover, seq, ...joined } = await join(peer, since);
    expect(recover).toEqual({ result: 'epoch_changed' });
    expect(joined.epoch).not.toBe(epoch);
    return peer;
  };
  const peers = await Promise.all(
    TRANSPORTS.flatMap((name) => positions.map((since) => comeBack(name, since))),
  );
  await restarted.publish(ROOM, 'anew');
  for (const peer of peers) {
    await peer.until(() => all(peer, 'message').length > 0);
    expect(all(peer, 'message').map(({ seq }) => seq)).toEqual([1]);
  }
});

const bytes = Number(process.env['ROOMCAST_TEST_RECOVER_BYTES'] ?? 32 * MIB);

test(`a member that slowly rereads ${bytes} bytes costs one cursor and one batch`, async () => {
  const data = 'x'.repeat(60_000);
  // As many as fit, including the cost of each besides its data.
  const count = Math.floor(bytes / (data.length + 500));
  const server = await serveProcess(
    ...['--history-messages', '100000', '--history-bytes', `${GIB}`],
    ...['--history-bytes-total', `${4 * GIB}`, '--recover-max-ms', '3600000'],
    ...['--history-ms', '3600000', '--publish-rate', '0', '--stall-after-ms', '60000'],
    ...['--log-level', 'info'],
  );
  const api = apiOf(server.url);
  const rss = () => {
    const status = readFileSync(`/proc/${server.child.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
  };
  const first = await connectReading('websocket', server.url);
  const { epoch } = await join(first);
  first.say({ type: 'leave', id: 2, room: ROOM });
  for (let n = 0; n < count; n += 16) {
    await api.publish(ROOM, Array(Math.min(16, count - n)).fill(data));
  }
  const peer = await connectReading('websocket', server.url);
  await join(peer, { epoch, seq: 0 });
  // From now on it reads a little ten times a second.
  peer.stall();
  const begun = rss();
  let most = 0;
  for (let n = 0; n < 30; n += 1) {
    const { queued } = (await api.member(peer.id)) as { queued: { bytes: number } };
    expect(queued.bytes).toBeLessThanOrEqual(Math.max(BATCH_BYTES, data.length + 1024));
    most = Math.max(most, rss());
    const read = last(peer);
    peer.resume();
    await peer.until(() => last(peer) > read);
    peer.stall();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  expect(last(peer)).toBeLessThan(count);
  expect(most - begun).toBeLessThan(16 * MIB);
  if (bytes >= GIB) console.log({ begun, most, count, read: last(peer) });
  peer.resume();
  await peer.until(() => last(peer) === count);
  expect(all(peer, 'message').map(({ seq }) => seq)).toEqual(numbers(1, count));
}, 600_000);
