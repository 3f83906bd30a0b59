import { once } from 'node:events';
import { globalAgent } from 'node:http';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { MemoryBroker } from '../src/index.js';
import { startTestServer, type TestServer } from '../src/testing.js';
import { TRANSPORTS } from '../src/transport/transport.js';
import { connectReading } from './support/reading-peer.js';
import { Signal } from './support/signal.js';
import { openSockJs } from './support/sockjs-client.js';

type Event = Record<string, unknown>;

/** A client of any transport that records what it receives. */
async function connect(server: TestServer, transport: (typeof TRANSPORTS)[number]) {
  const socket =
    transport === 'websocket'
      ? new WebSocket(server.url)
      : openSockJs(server.sockjsUrl, transport.replace('sockjs-', ''));
  const events: Event[] = [];
  const changed = new Signal();
  socket.onmessage = ({ data }: { data: unknown }) => {
    events.push(JSON.parse(String(data)));
    changed.fire();
  };
  socket.onerror = () => {};
  const next = async (type: string) => {
    await changed.until(() => events.some((event) => event['type'] === type));
    return events.find((event) => event['type'] === type) as Event;
  };
  const { member } = await next('welcome');
  return { socket, events, changed, next, id: String(member) };
}

describe.each(TRANSPORTS)('over %s', (transport) => {
  let server: TestServer;
  beforeEach(async () => {
    server = await startTestServer({ queueMessages: 4 });
  });
  afterEach(() => server.close());

  test('a stalled member falls behind, and gets a gap when it reads again', async () => {
    const { socket, events, changed, next, id } = await connect(server, transport);
    socket.send('{"type":"join","id":1,"room":"r"}');
    await next('joined');
    await server.publish('r', 'before');
    await next('message');
    const resume = server.stall(id);
    // One message is in the current batch, four are in the queue, and the oldest was dropped.
    for (let n = 0; n < 9; n += 1) {
      await server.publish('r', n);
      await new Promise(setImmediate);
    }
    expect(server.members()).toMatchObject([{ id, health: 'shedding', rooms: ['r'] }]);
    expect(server.members()[0]?.queued.messages).toBe(5);
    resume();
    await changed.until(() => events.some((event) => event['seq'] === 10));
    const seen = events.filter(({ type }) => type === 'message' || type === 'gap');
    expect(seen.map(({ seq, from, to }) => seq ?? [from, to])).toEqual([1, 2, [3, 6], 7, 8, 9, 10]);
  });

  test('closes at once while clients run commands', async () => {
    const clients = await Promise.all([1, 2, 3].map(() => connect(server, transport)));
    for (const { socket, id } of clients) {
      server.stall(id);
      for (let n = 0; n < 20; n += 1) socket.send(`{"type":"join","id":${n},"room":"r${n}"}`);
    }
    await server.close();
    expect(server.members()).toEqual([]);
    for (const { socket } of clients) socket.close();
  });
});

test('a member that is stalled between two polls falls behind like any other', async () => {
  const server = await startTestServer({ queueMessages: 4 });
  onTestFinished(() => server.close());
  const peer = await connectReading('xhr-polling', server.httpUrl);
  const seqs = () =>
    peer.events.flatMap<number | string>((event) => {
      if (event.type === 'gap') return [`${event.from}-${event.to}`];
      return event.type === 'message' ? [event.seq] : [];
    });
  peer.say({ type: 'join', id: 1, room: 'r' });
  await peer.until(() => peer.events.some(({ type }) => type === 'joined'));
  // It does not poll again.
  peer.stall();
  const resume = server.stall(peer.id);
  for (let n = 0; n < 9; n += 1) {
    await server.publish('r', n);
    await new Promise(setImmediate);
  }
  expect(server.members()[0]?.queued.messages).toBe(5);
  peer.resume();
  resume();
  await peer.until(() => seqs().at(-1) === 9);
  expect(seqs()).toEqual([1, '2-5', 6, 7, 8, 9]);
});

test('lists the members when asked to stall an unknown one', async () => {
  const server = await startTestServer();
  expect(() => server.stall('nobody')).toThrow('No member has the id "nobody"');
  await Promise.all([server.close(), server.close()]);
});

/** Servers opened and closed; 1,000 take a minute and a half on a quiet machine. */
const CYCLES = Number(process.env['ROOMCAST_TEST_CYCLES'] ?? 300);

test(`leaks nothing: ${CYCLES} servers opened and closed while clients run commands`, async () => {
  const cycle = async () => {
    const server = await startTestServer();
    const socket = new WebSocket(server.url);
    socket.on('error', () => {});
    await once(socket, 'open');
    socket.send('{"type":"join","id":1,"room":"r"}');
    const gone = once(socket, 'close');
    await Promise.all([server.close(), gone]);
  };
  // Fastify compiles its serialisers; V8 would keep the code of many servers for a while.
  setFlagsFromString('--no-compilation-cache');
  for (let n = 0; n < 100; n += 1) await cycle();
  const before = { open: process.getActiveResourcesInfo().length, heap: heapUsed() };
  for (let n = 100; n < CYCLES; n += 1) await cycle();
  // Timers of the test runner come and go; a leak would be a multiple of the cycles.
  expect(process.getActiveResourcesInfo().length).toBeLessThan(before.open + 20);
  // A leaked server would take some 300 KiB: this is the size of ten.
  expect(heapUsed()).toBeLessThan(before.heap + 3 * 1024 * 1024);
}, 300_000);

/** Bytes in use after a full collection. */
function heapUsed(): number {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  return process.memoryUsage().heapUsed;
}

test('kicks a member with a close reason of the server', async () => {
  const server = await startTestServer();
  const { next } = await connect(server, 'websocket');
  const [member] = server.members();
  expect(server.kick(member!.id, 'slow_consumer')).toBe(true);
  expect(await next('closing')).toMatchObject({ code: 4101 });
  expect(server.kick('nobody')).toBe(false);
  await server.close();
});

test('issues tokens that it accepts, and revokes their user', async () => {
  const server = await startTestServer({
    tokenSecret: ['a-secret-of-a-test-of-32-characters'],
    tokenAudience: ['us'],
    presence: 'users',
  });
  const token = await server.token({
    user: '42',
    rooms: { 'chat:*': ['join', 'publish'] },
    tokenId: 't1',
    info: { name: 'Ann' },
  });
  const { socket, next, events } = await connect(server, 'websocket');
  socket.send(JSON.stringify({ type: 'auth', id: 1, token }));
  socket.send('{"type":"join","id":2,"room":"news"}');
  socket.send('{"type":"join","id":3,"room":"chat:a","presence":true}');
  expect(await next('presence')).toMatchObject({ users: [{ user: '42', info: { name: 'Ann' } }] });
  expect(events.slice(1, 4)).toMatchObject([
    { id: 1, type: 'authenticated', user: '42' },
    { id: 2, code: 'not_allowed' },
    { id: 3, type: 'joined' },
  ]);
  expect(server.revoke({ token: 't1' })).toMatchObject({ closed: 1 });
  expect(await next('closing')).toMatchObject({ code: 4005 });
  const late = await connect(server, 'websocket');
  const expired = await server.token({ user: '42', seconds: -60 });
  late.socket.send(JSON.stringify({ type: 'auth', token: expired }));
  expect(await late.next('closing')).toMatchObject({ code: 4105 });
  await server.close();
  const without = await startTestServer();
  await expect(without.token({ user: '42' })).rejects.toMatchObject({ code: 'not_enabled' });
  await without.close();
});

describe.each(TRANSPORTS)('over %s', (transport) => {
  test('cut() sends no close frame; restart() begins a new epoch; history can expire', async () => {
    const server = await startTestServer({ historyMessages: 10 });
    const first = await connect(server, transport);
    first.socket.send('{"type":"join","id":1,"room":"r"}');
    await first.next('joined');
    const { epoch } = await server.publish('r', 1);
    const ended = new Promise((resolve) => {
      first.socket.onclose = resolve;
    });
    server.cut(first.id);
    await ended;
    expect(first.events.some(({ type }) => type === 'closing')).toBe(false);
    // A polling client may reconnect by itself, as another member.
    expect(server.members().map(({ id }) => id)).not.toContain(first.id);
    expect(() => server.cut(first.id)).toThrow('members() lists them');

    /** The reply to a client that rejoins with that position. */
    const recoverOf = async (seq: number) => {
      const { socket, next } = await connect(server, transport);
      const since = { epoch, seq };
      socket.send(JSON.stringify({ type: 'join', id: 1, room: 'r', since }));
      const { recover } = await next('joined');
      socket.close();
      return recover;
    };
    expect(await recoverOf(0)).toEqual({ result: 'complete', from: 1, to: 1 });
    await server.expireHistory('r');
    expect(await recoverOf(0)).toEqual({ result: 'partial', from: 1, to: 1 });
    expect(await recoverOf(1)).toEqual({ result: 'complete' });
    await server.restart();
    // The client's requests would reuse a connection that has broken, until its end has been read.
    globalAgent.destroy();
    expect(await recoverOf(1)).toEqual({ result: 'epoch_changed' });
    expect((await server.publish('r', 1)).seq).toBe(1);
    await server.close();
  });
});

test('explains why it cannot expire history, or restart a broker that was passed in', async () => {
  const server = await startTestServer({ broker: new MemoryBroker() });
  await expect(server.expireHistory('r')).rejects.toMatchObject({ code: 'not_enabled' });
  await expect(server.restart()).rejects.toMatchObject({ code: 'not_enabled' });
  await server.close();
});
