/**
 * Checks what `client/README.md` says about other clients: their sizes, what happens to publishes
 * without a connection, and what they report about missed messages.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { Centrifuge } from 'centrifuge';
import { transform } from 'esbuild';
import { Server } from 'socket.io';
import { expect, it, onTestFinished, vi } from 'vitest';
import { WebSocket } from 'ws';

const modules = new URL('../../node_modules/', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, modules), 'utf8');
const require = createRequire(import.meta.url);
const readme = readFileSync(new URL('../../client/README.md', import.meta.url), 'utf8');

/** A socket that never opens. */
class Silent {
  readonly readyState = 0;
  send() {}
  close() {}
}

it.each([
  ['centrifuge-js', 'centrifuge', 'dist/centrifuge.js'],
  ['socket.io-client', 'socket.io', 'client-dist/socket.io.esm.min.js'],
  ['pusher-js', 'pusher-js', 'dist/web/pusher.min.js'],
])('the README has the size of %s', async (name, module, path) => {
  const { version } = JSON.parse(read(`${module}/package.json`));
  const shipped = read(`${module}/${path}`);
  const { code } = await transform(shipped, { minify: true, target: 'es2022' });
  // Minifying minified code again may enlarge it.
  const size = Math.min(...[shipped, code].map((text) => gzipSync(text, { level: 9 }).length));
  expect(readme).toContain(`${name} ${version}`);
  const rounded = (Math.round(size / 100) / 10).toFixed(1);
  expect(readme).toContain(`${rounded} kB`);
});

it('socket.io-client keeps everything emitted without a connection, and sends it after the reconnect', async () => {
  // As in a browser, even on a Node version without WebSocket.
  vi.stubGlobal('WebSocket', WebSocket);
  onTestFinished(() => void vi.unstubAllGlobals());
  const { io } = require(new URL('socket.io/client-dist/socket.io.js', modules).pathname);
  const http = createServer();
  const server = new Server(http, { connectionStateRecovery: {} });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  onTestFinished(() => server.close());
  const heard: number[] = [];
  server.on('connection', (peer) => {
    peer.on('message', (n) => heard.push(n));
    peer.emit('hello');
  });
  const { port } = http.address() as AddressInfo;
  const socket = io(`http://127.0.0.1:${port}`, {
    autoConnect: false,
    transports: ['websocket'],
    reconnectionDelay: 10,
  });
  for (let n = 0; n < 20_000; n += 1) socket.emit('message', n);
  expect(socket.sendBuffer).toHaveLength(20_000);
  socket.connect();
  onTestFinished(() => void socket.disconnect());
  await vi.waitFor(() => expect(heard).toHaveLength(20_000), { timeout: 30_000 });
  // The only information that an app gets about missed messages.
  expect(socket.recovered).toBe(false);
  const again = new Promise((resolve) => socket.once('connect', resolve));
  socket.io.engine.close();
  await again;
  expect(socket.recovered).toBe(true);
});

it('pusher-js drops publishes without a connection, and returns false', () => {
  const Pusher = require('pusher-js');
  const pusher = new Pusher('key', { cluster: 'mt1', enabledTransports: [] });
  onTestFinished(() => pusher.disconnect());
  const channel = pusher.subscribe('private-a');
  expect(pusher.send_event('client-a', {})).toBe(false);
  expect(channel.trigger('client-a', {})).toBe(false);
  expect(read('pusher-js/dist/web/pusher.js')).not.toMatch(
    /\b(recover(ed|ing)?|missed|offset|seq)\b/i,
  );
});

it('centrifuge-js queues publishes without a bound, and rejects them at the timeout', async () => {
  const client = new Centrifuge('ws://127.0.0.1:1', { websocket: Silent, timeout: 100 });
  onTestFinished(() => client.disconnect());
  client.on('error', () => {});
  client.connect();
  const all = Array.from({ length: 20_000 }, () => client.publish('a', 1));
  const ends = await Promise.allSettled(all);
  expect(new Set(ends.map((end) => (end as PromiseRejectedResult).reason.message))).toEqual(
    new Set(['timeout']),
  );
  // It reports whether a subscription was recovered, not which messages were lost.
  expect(read('centrifuge/build/types.d.ts')).toMatch(
    /wasRecovering: boolean;[^}]*recovered: boolean;/s,
  );
});
