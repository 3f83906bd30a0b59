import { once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { startTestServer, type TestServer } from '../src/testing.js';
import { TRANSPORTS } from '../src/transport/transport.js';
import { Signal } from './support/signal.js';
import { openSockJs } from './support/sockjs-client.js';

type Event = Record<string, unknown>;

/** A client of any transport that remembers what it was told. */
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

  test('a member can be stalled, falls behind, and is told what it missed when it reads again', async () => {
    const { socket, events, changed, next, id } = await connect(server, transport);
    socket.send('{"type":"join","id":1,"room":"r"}');
    await next('joined');
    await server.publish('r', 'before');
    await next('message');
    const resume = server.stall(id);
    // One message goes into the batch that is under way, four into the queue, the oldest out of it.
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

  test('closes at once with clients in the middle of commands', async () => {
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

test('says which members there are when asked to stall another', async () => {
  const server = await startTestServer();
  expect(() => server.stall('nobody')).toThrow('no member has the id nobody');
  await Promise.all([server.close(), server.close()]);
});

/** Servers opened and closed; 1,000 take a minute and a half on a quiet machine. */
const CYCLES = Number(process.env['ROOMCAST_TEST_CYCLES'] ?? 300);

test(`leaves nothing behind: ${CYCLES} servers with clients mid-command, opened and closed`, async () => {
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
  // A server that stayed would be some 300 KiB: this is the size of ten.
  expect(heapUsed()).toBeLessThan(before.heap + 3 * 1024 * 1024);
}, 300_000);

/** Bytes in use after a full collection. */
function heapUsed(): number {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  return process.memoryUsage().heapUsed;
}
