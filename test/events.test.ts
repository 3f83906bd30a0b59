/** Events that an app receives, and the isolation of members from its listeners. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { Refusal } from '../src/errors.js';
import { EVENTS, type EventName, Events, type Listeners } from '../src/events.js';
import type { RoomcastOptions } from '../src/parts.js';
import { serve } from '../src/serve.js';
import { startTestServer } from '../src/testing.js';
import { TRANSPORTS } from '../src/transport/transport.js';
import { connectReading } from './support/reading-peer.js';
import { Signal } from './support/signal.js';

type Told = { readonly name: EventName; readonly event: Record<string, unknown> };

/** A roomcast that records every event. */
async function open(options: RoomcastOptions = {}) {
  const told: Told[] = [];
  const changed = new Signal();
  const { roomcast, url } = await serve({
    port: 0,
    drainMs: 0,
    lameDuckMs: 0,
    lockDetector: 'strict',
    ...options,
  });
  onTestFinished(async () => {
    await roomcast.close();
  });
  for (const name of EVENTS) {
    roomcast.on(name, (event) => {
      told.push({ name, event: event as unknown as Record<string, unknown> });
      changed.fire();
    });
  }
  const until = (name: EventName) => changed.until(() => told.some((each) => each.name === name));
  return {
    roomcast,
    url,
    told,
    until,
    of: (name: EventName) => told.filter((each) => each.name === name).map(({ event }) => event),
  };
}

describe.each(TRANSPORTS)('over %s', (transport) => {
  test('the events of a connection arrive in order, with plain values', async () => {
    const { roomcast, url, told, until, of } = await open();
    const peer = await connectReading(transport, url);
    const member = peer.id;
    peer.say({ type: 'join', id: 1, room: 'news' });
    await until('joined');
    peer.say({ type: 'publish', id: 2, room: 'news', data: { a: [1] }, key: 'k' });
    await until('published');
    peer.say({ type: 'leave', id: 3, room: 'news' });
    await until('left');
    peer.say({ type: 'join', id: 4, room: 'other' });
    await peer.until(() => peer.events.filter(({ type }) => type === 'joined').length === 2);
    roomcast.kick(member);
    await until('closed');
    // A polling client may be behind for a moment.
    const life = told.map(({ name }) => name).filter((name) => !['gap', 'health'].includes(name));
    expect(life).toEqual(['connected', 'joined', 'published', 'left', 'joined', 'left', 'closed']);
    const epoch = expect.any(String);
    expect(of('connected')).toMatchObject([
      {
        member,
        transport,
        address: '127.0.0.1',
        url: expect.stringMatching(/^\/(ws|sockjs)/),
        headers: { host: expect.any(String) },
      },
    ]);
    expect(of('joined')).toEqual([
      { member, user: null, room: 'news' },
      { member, user: null, room: 'other' },
    ]);
    expect(of('published')).toEqual([
      { room: 'news', seq: 1, epoch, member, user: null, data: { a: [1] }, key: 'k' },
    ]);
    expect(of('left')).toEqual([
      { member, user: null, room: 'news' },
      { member, user: null, room: 'other' },
    ]);
    expect(of('closed')).toEqual([
      { member, user: null, address: '127.0.0.1', reason: 'forbidden' },
    ]);
    for (const { event } of told) expect(Object.isFrozen(event)).toBe(true);
  });
});

test('the events name the user of a member', async () => {
  const { roomcast, url, until, of } = await open({
    auth: { connect: () => ({ user: 'ann', may: () => true }) },
  });
  const peer = await connectReading('websocket', url);
  peer.say({ type: 'join', id: 1, room: 'news' });
  peer.say({ type: 'publish', id: 2, room: 'news', data: 1 });
  await until('published');
  expect(roomcast.kickUser('ann')).toBe(1);
  await until('closed');
  for (const name of ['joined', 'published', 'left', 'closed'] as const) {
    expect(of(name)).toMatchObject([{ user: 'ann' }]);
  }
});

test('gap and health events of a member that does not keep up', async () => {
  const told: Told[] = [];
  const changed = new Signal();
  const note = (name: EventName) => (event: object) => {
    told.push({ name, event: event as Record<string, unknown> });
    changed.fire();
  };
  const server = await startTestServer({
    queueMessages: 2,
    events: { gap: note('gap'), health: note('health') },
  });
  onTestFinished(() => server.close());
  const peer = await connectReading('websocket', server.httpUrl);
  peer.say({ type: 'join', id: 1, room: 'news' });
  await peer.until(() => peer.events.some(({ type }) => type === 'joined'));
  const resume = server.stall(peer.id);
  for (let n = 1; n <= 5; n += 1) {
    await server.publish('news', n);
    await new Promise(setImmediate);
  }
  await changed.until(() => told.some(({ name }) => name === 'health'));
  resume();
  await changed.until(() => told.some(({ name }) => name === 'gap'));
  const queued = expect.objectContaining({ messages: expect.any(Number) });
  expect(told).toContainEqual({
    name: 'health',
    event: { member: peer.id, state: 'shedding', queued },
  });
  expect(told).toContainEqual({
    name: 'gap',
    event: { member: peer.id, room: 'news', from: 2, to: 3, count: 2, reason: 'overflow' },
  });
});

test('published events for the HTTP API and the app, also in an empty room', async () => {
  const { roomcast, url, of, until } = await open();
  await roomcast.publish('empty', null);
  await until('published');
  const asked = await fetch(`${url}/v1/rooms/empty/messages`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"data":2}',
  });
  expect(asked.status).toBe(200);
  expect(of('published').map(({ member, data }) => [member, data])).toEqual([
    [null, null],
    [null, 2],
  ]);
});

test('a listener can read the cookie of a new member and kick it at once', async () => {
  const { roomcast, url } = await open();
  roomcast.on('connected', ({ member, headers }) => {
    if (headers.cookie !== 'session=good') roomcast.kick(member);
  });
  const good = new WebSocket(`${url.replace('http', 'ws')}/ws`, {
    headers: { cookie: 'session=good' },
  });
  const bad = new WebSocket(`${url.replace('http', 'ws')}/ws`, {
    headers: { cookie: 'session=bad' },
  });
  expect(await new Promise((resolve) => bad.on('close', resolve))).toBe(4003);
  expect(good.readyState).not.toBe(WebSocket.CLOSED);
  good.terminate();
});

/** A thenable that is not a native promise. */
const thenable = Object.fromEntries([
  ['then', (_: unknown, no: (error: Error) => void) => no(new Error('mine'))],
]);

describe('a failing listener', () => {
  test('puts neither a token nor a long text in the log, whatever its error contains', async () => {
    const lines: object[] = [];
    const ignore = () => {};
    const log = { info: ignore, warn: ignore, error: (fields: object) => void lines.push(fields) };
    const events: Listeners = {
      connected({ headers }) {
        const { authorization } = headers;
        const text = `failed with ${authorization} ${'x'.repeat(1_000_000)}`;
        throw Object.assign(new Error(text), { request: { headers } });
      },
    };
    const { url } = await open({ log, events });
    const secret = 'a-secret-of-a-request';
    const socket = new WebSocket(url.replace('http', 'ws').concat('/ws'), {
      headers: { authorization: `Bearer ${secret}` },
    });
    await expect.poll(() => lines.length).toBeGreaterThan(0);
    socket.close();
    expect(JSON.stringify(lines)).not.toContain(secret);
    expect(JSON.stringify(lines[0]).length).toBeLessThan(10_000);
    expect(lines[0]).toMatchObject({
      err: { message: expect.stringMatching(/^failed with Bearer \(token\) x/) },
      event: 'connected',
    });
  });

  const failing: Record<string, () => unknown> = {
    throws: () => {
      throw new Error('mine');
    },
    rejects: async () => {
      throw new Error('mine');
    },
    'throws nothing': () => {
      throw undefined;
    },
    'rejects in another way': () => thenable,
    'throws what cannot be read': () => {
      throw new Proxy(
        {},
        {
          get() {
            throw new Error('unreadable');
          },
        },
      );
    },
  };

  test.each(Object.keys(failing))(
    '%s: it is logged once a second, counted, and disturbs nobody',
    async (how) => {
      const lines: [object, string][] = [];
      const ignore = () => {};
      const log = {
        info: ignore,
        warn: ignore,
        error: (fields: object, text: string) => void lines.push([fields, text]),
      };
      const listener = failing[how] as () => unknown;
      const events = Object.fromEntries(EVENTS.map((name) => [name, listener]));
      const { roomcast, url, until } = await open({ log, events });
      const peer = await connectReading('websocket', url);
      peer.say({ type: 'join', id: 1, room: 'news' });
      await peer.until(() => peer.events.some(({ type }) => type === 'joined'));
      for (let n = 0; n < 20; n += 1) await roomcast.publish('news', n);
      await peer.until(() => peer.events.filter(({ type }) => type === 'message').length === 20);
      roomcast.kick(peer.id);
      await until('closed');
      expect(lines.filter(([, text]) => text === 'a listener failed').length).toBeLessThan(10);
      expect(lines[0]).toMatchObject([{ event: 'connected' }, 'a listener failed']);
      const text = await roomcast.metrics();
      expect(text).toContain('roomcast_listener_errors_total{event="published"} 20');
      expect(text).toContain('roomcast_listener_errors_total{event="gap"} 0');
    },
  );
});

describe('events', () => {
  test('are dispatched after the caller is done, to the listeners at that time; a removed listener is not called', async () => {
    const events = new Events();
    const heard: string[] = [];
    const end = events.on('joined', () => heard.push('first'));
    events.on('joined', () => {
      heard.push('second');
      end();
    });
    events.tell('joined', { member: 'm', user: null, room: 'r' });
    expect(heard).toEqual([]);
    await null;
    expect(heard).toEqual(['first', 'second']);
    events.tell('joined', { member: 'm', user: null, room: 'r' });
    await null;
    expect(heard).toEqual(['first', 'second', 'second']);
    end();
    expect(events.wanted.joined).toBe(true);
  });

  test('without a listener are not kept', async () => {
    const events = new Events();
    events.tell('joined', { member: 'm', user: null, room: 'r' });
    let heard = 0;
    events.on('joined', () => {
      heard += 1;
    });
    await null;
    expect(heard).toBe(0);
  });
});

test('an unknown event, or a listener that is not a function, is refused', async () => {
  const { roomcast } = await open();
  expect(() => roomcast.on('joinde' as 'joined', () => {})).toThrow(
    new Refusal(
      'bad_command',
      'event "joinde" is not allowed: give one of connected, joined, left, published, gap, health, closed',
    ),
  );
  expect(() => roomcast.on('joined', 5 as never)).toThrow(
    new Refusal('bad_command', 'listener 5 is not allowed: give a function'),
  );
});
