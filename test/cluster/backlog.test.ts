/** Connections that the primary holds while no worker takes them are bounded (V3). */
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { placesFor } from '../../src/descriptors.js';
import { silent } from '../../src/log.js';
import { WorkersServer } from '../support/workers.js';

const WORKERS = 2;
const MORE = 40;

test('connections past the bound are closed, and those below it are served later', async () => {
  const flags = ['--max-connections', '8', '--worker-stall-ms', '60000', '--drain-ms', '0'];
  const workers = await WorkersServer.start(WORKERS, ...flags);
  const { server } = workers;
  const { port, hostname } = new URL(workers.url);
  const bound = placesFor({ maxConnections: 8 }, silent).sockets;
  for (let slot = 0; slot < WORKERS; slot += 1) workers.kill(slot, 'SIGSTOP');

  const sockets: Socket[] = [];
  const closed = new Set<Socket>();
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
  });
  // One by one, so that it is certain which are past the bound.
  for (let n = 0; n < bound + WORKERS + MORE; n += 1) {
    const socket = connect(Number(port), hostname);
    sockets.push(socket);
    socket.on('error', () => {}).on('close', () => closed.add(socket));
    socket.resume();
    await once(socket, 'connect');
  }
  await expect.poll(() => closed.size).toBe(MORE);
  expect(closed).toEqual(new Set(sockets.slice(-MORE)));
  await server.line('no worker takes connections: new ones are closed');
  const held = readdirSync(`/proc/${server.child.pid}/fd`).length;
  expect(held).toBeLessThan(bound + WORKERS + 64);

  for (let slot = 0; slot < WORKERS; slot += 1) workers.kill(slot, 'SIGCONT');
  const first = sockets[0] as Socket;
  first.write('GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
  const [answer] = await once(first, 'data');
  expect(String(answer)).toMatch(/^HTTP\/1\.1 200 /);
  // There is capacity again.
  for (const socket of sockets) socket.destroy();
  await expect
    .poll(async () => (await fetch(`${workers.url}/readyz`).catch(() => null))?.status)
    .toBe(200);
});
