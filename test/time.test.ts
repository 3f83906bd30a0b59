/** The built server in a program whose tests fake time: in `src/`, our own tests fake it themselves. */
import { once } from 'node:events';
import { afterEach, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { Signal } from './support/signal.js';

type Testing = typeof import('../src/testing.js');

const { startTestServer }: Testing = await import(
  new URL('../dist/testing.js', import.meta.url).href
);

afterEach(() => {
  vi.useRealTimers();
});

/** Fakes what vitest fakes by default, and `others`. */
function fakeTime(...others: 'queueMicrotask'[]): void {
  vi.useFakeTimers({
    toFake: [
      'setTimeout',
      'clearTimeout',
      'setInterval',
      'clearInterval',
      'setImmediate',
      'clearImmediate',

      'Date',
      'performance',
      ...others,
    ],
  });
}

async function connect(url: string) {
  const socket = new WebSocket(url);
  const events: Record<string, unknown>[] = [];
  const changed = new Signal();
  socket.on('message', (data) => {
    events.push(JSON.parse(data.toString()));
    changed.fire();
  });
  await once(socket, 'open');
  const next = (type: string) =>
    changed.until(() => events.some((event) => event['type'] === type));
  return { socket, next };
}

test('faking timers while it runs stops neither deliveries nor refusals nor close()', async () => {
  const server = await startTestServer({ maxConnections: 1 });
  fakeTime('queueMicrotask');
  const { socket, next } = await connect(server.url);
  socket.send('{"type":"join","id":1,"room":"r"}');
  await next('joined');
  await server.publish('r', 1);
  await next('message');
  const turnedAway = await connect(server.url);
  await turnedAway.next('closing');
  const gone = once(socket, 'close');
  await server.close();
  await gone;
});

test('a member that stops reading is evicted in real time', async () => {
  const server = await startTestServer({ stallAfterMs: 250, lagAfterMs: 100 });
  fakeTime();
  const { socket, next } = await connect(server.url);
  socket.send('{"type":"join","id":1,"room":"r"}');
  await next('joined');
  const [member] = server.members();
  server.stall(member?.id ?? '');
  await server.publish('r', 1);
  await once(socket, 'close');
  expect(server.members()).toEqual([]);
  await server.close();
});

test('it starts and closes while time is faked', async () => {
  fakeTime();
  const server = await startTestServer();
  const { socket, next } = await connect(server.url);
  await next('welcome');
  const gone = once(socket, 'close');
  await server.close();
  await gone;
});
