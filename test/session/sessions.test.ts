/** Connection limits, and what refused connections are sent. */

import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { type ClientOptions, WebSocket } from 'ws';
import { Authenticator } from '../../src/auth/authenticator.js';
import { MemoryBroker } from '../../src/broker/memory.js';
import { CloseLog } from '../../src/close-log.js';
import type { CloseReason } from '../../src/errors.js';
import { Detector } from '../../src/lock/index.js';
import { silent } from '../../src/log.js';
import { LoopClock } from '../../src/loop-clock.js';
import { Recorder } from '../../src/metrics/recorder.js';
import { commandLimits, defaults } from '../../src/options/config.js';
import { JsonCodec } from '../../src/protocol/json.js';
import { Hub } from '../../src/room/hub.js';
import type { Member } from '../../src/room/member.js';
import { People } from '../../src/session/people.js';
import { Sessions } from '../../src/session/sessions.js';
import { Turns } from '../../src/turns.js';
import { FakeTransport } from '../support/fake-transport.js';
import { bytesInUse } from '../support/heap.js';
import { serve } from '../support/server.js';
import { Signal } from '../support/signal.js';
import { openSockJs } from '../support/sockjs-client.js';
import { SECRET, tokenOf } from '../support/tokens.js';

interface Client {
  readonly socket: WebSocket;
  readonly events: Record<string, unknown>[];
  /** Resolves with the close code. */
  readonly closed: Promise<number>;
  /** Resolves with the first event. */
  first(): Promise<Record<string, unknown>>;
  until(isIt: (event: Record<string, unknown>) => boolean): Promise<void>;
}

function connect(url: string, options: ClientOptions = {}): Client {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`, options);
  const events: Record<string, unknown>[] = [];
  const changed = new Signal();
  socket.on('message', (data) => {
    events.push(JSON.parse(data.toString()));
    changed.fire();
  });
  // A refused upgrade counts, and so does an aborted one.
  socket.on('error', () => {});
  return {
    socket,
    events,
    closed: new Promise((resolve) => socket.on('close', resolve)),
    async first() {
      await changed.until(() => events.length > 0);
      return events[0] as Record<string, unknown>;
    },
    until: (isIt) => changed.until(() => events.some(isIt)),
  };
}

/** The value of one series. */
async function metric(url: string, series: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const line = text.split('\n').find((each) => each.startsWith(`${series} `));
  return Number(line?.slice(series.length));
}

async function expectTurnedAway(url: string, client: Client): Promise<void> {
  expect(await client.first()).toMatchObject({ type: 'closing', code: 4100 });
  expect(await client.closed).toBe(4100);
  expect(client.events).toHaveLength(1);
  expect(
    await metric(
      url,
      'roomcast_connections_closed_total{transport="websocket",reason="over_capacity"}',
    ),
  ).toBe(1);
}

test('a connection beyond --max-connections gets a reason, and fits once another has closed', async () => {
  const { url } = await serve({ maxConnections: 2 });
  const clients = [connect(url), connect(url)];
  for (const client of clients) expect(await client.first()).toMatchObject({ type: 'welcome' });
  await expectTurnedAway(url, connect(url));
  clients[0]?.socket.close();
  await clients[0]?.closed;
  expect(await connect(url).first()).toMatchObject({ type: 'welcome' });
});

test('SockJS counts too, and gets the same reason', async () => {
  const { url } = await serve({ maxConnections: 1 });
  await connect(url).first();
  const socket = openSockJs(`${url}/sockjs`, 'xhr-streaming');
  const events: unknown[] = [];
  socket.onmessage = ({ data }) => events.push(JSON.parse(data));
  const { code } = await new Promise<{ code: number }>((resolve) => {
    socket.onclose = resolve;
  });
  expect(code).toBe(4100);
  expect(events).toEqual([expect.objectContaining({ type: 'closing', code: 4100 })]);
});

test('--max-connections-per-address counts addresses resolved by --trust-proxy', async () => {
  const { url } = await serve({ maxConnectionsPerAddress: 1, trustProxy: ['127.0.0.1'] });
  const from = (address: string) => connect(url, { headers: { 'x-forwarded-for': address } });
  expect(await from('203.0.113.1').first()).toMatchObject({ type: 'welcome' });
  expect(await from('203.0.113.2').first()).toMatchObject({ type: 'welcome' });
  await expectTurnedAway(url, from('203.0.113.1'));
});

test('--max-connections-per-address counts an IPv6 network as one address: one host has all of it', async () => {
  const { url } = await serve({ maxConnectionsPerAddress: 1, trustProxy: ['127.0.0.1'] });
  const from = (address: string) => connect(url, { headers: { 'x-forwarded-for': address } });
  const first = from('2001:db8:1:2::1');
  expect(await first.first()).toMatchObject({ type: 'welcome' });
  expect(await from('2001:db8:1:3::1').first()).toMatchObject({ type: 'welcome' });
  await expectTurnedAway(url, from('2001:db8:1:2:ffff::1'));
  first.socket.terminate();
  await expect.poll(async () => (await from('2001:db8:1:2::3').first())?.['type']).toBe('welcome');
});

describe('--origin', () => {
  const origin = 'https://app.example';

  test.each([
    ['a page of it', { origin }, true],
    ['who is no page', {}, true],
    ['a page of another', { origin: 'https://evil.example' }, false],
    ['a page of none', { origin: 'null' }, false],
  ])('%s, over WebSocket and SockJS', async (_, headers, isAllowed) => {
    const { url } = await serve({ origin: [origin] });
    const client = connect(url, { headers });
    if (isAllowed) expect(await client.first()).toMatchObject({ type: 'welcome' });
    else expect((await once(client.socket, 'unexpected-response'))[1].statusCode).toBe(403);
    const poll = await fetch(`${url}/sockjs/0/abc/xhr`, { method: 'POST', headers });
    expect(poll.status).toBe(isAllowed ? 200 : 403);
    client.socket.terminate();
  });
});

test('a peer that sends nothing is closed after --first-frame-ms', async () => {
  const { url } = await serve({ firstFrameMs: 100 });
  const silent = connect(url);
  const speaking = connect(url);
  await speaking.first();
  speaking.socket.send('{"type":"ping","id":1}');
  expect(await silent.closed).toBe(4107);
  expect(speaking.socket.readyState).toBe(WebSocket.OPEN);
  speaking.socket.close();
});

test('a first frame and token sent while the server was blocked are sent in time (V13)', async () => {
  const waitMs = 1000;
  const { url } = await serve({ firstFrameMs: waitMs, authMs: waitMs, tokenSecret: [SECRET] });
  const client = connect(url);
  await client.first();
  client.socket.send(JSON.stringify({ type: 'auth', id: 1, token: tokenOf({ sub: '42' }) }));
  for (const end = performance.now() + 1.1 * waitMs; performance.now() < end; );
  client.socket.send('{"type":"ping","id":2}');
  await client.until(({ type, id }) => type === 'closing' || id === 2);
  expect(client.events.map(({ type }) => type)).toEqual(['welcome', 'authenticated', 'pong']);
  client.socket.close();
});

test('a heartbeat that is not answered ends the connection', async () => {
  const { url } = await serve({ heartbeatMs: 1000 });
  const deaf = connect(url, { autoPong: false });
  expect(await deaf.closed).toBe(4201);
});

test('an address is no longer held after its last connection', async () => {
  const detector = new Detector();
  const observer = new Recorder();
  const codec = new JsonCodec();
  const close = (member: Member, reason: CloseReason) => sessions.close(member, reason);
  const clock = new LoopClock();
  const hub = new Hub(defaults, new MemoryBroker(), codec, observer, clock, close, detector);
  const failed = () => {};
  const turns = new Turns();
  const closeLog = new CloseLog(silent);
  const limits = commandLimits(defaults);
  const auth = new Authenticator(defaults, silent, observer);
  const people = new People(null);
  const context = {
    config: defaults,
    hub,
    codec,
    limits,
    observer,
    turns,
    closeLog,
    auth,
    people,
    failed,
  };
  const sessions = new Sessions(context, detector);
  const ADDRESS_BYTES = 50_000;
  const cycle = (count: number) => {
    for (let n = 0; n < count; n += 1) {
      const transport = new FakeTransport();
      // Long addresses, so that any kept ones show in the heap.
      const address = Buffer.alloc(ADDRESS_BYTES, `${n}.`).toString('latin1');
      Object.assign(transport, { remoteAddress: address });
      transport.sink = sessions.accept(transport);
      transport.break();
    }
  };
  cycle(100);
  const before = await bytesInUse();
  cycle(2000);
  // All of them would take 100 MB.
  expect((await bytesInUse()) - before).toBeLessThan(50_000_000);
  await hub.close(0);
});
