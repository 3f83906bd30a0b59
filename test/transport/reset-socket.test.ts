/** A reset leaves nothing open, in any state of the socket. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { handleOf, rawWrite } from '../../src/transport/raw-write.js';
import { resetSocket } from '../../src/transport/reset-socket.js';
import { unreadInKernel } from '../support/kernel.js';

const server = createServer({ allowHalfOpen: true });
let socket: Socket;
let peer: Socket;
let errors: Error[];

beforeEach(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  peer = connect((server.address() as AddressInfo).port, '127.0.0.1').pause();
  peer.on('error', () => {});
  [socket] = (await once(server, 'connection')) as [Socket];
  errors = [];
  socket.on('error', (error) => errors.push(error));
});

/** A server without connections closes at once; a leaked connection keeps it open. */
afterEach(async () => {
  const { localPort, remotePort } = socket;
  server.close();
  await once(server, 'close');
  expect(unreadInKernel(localPort ?? 0, remotePort ?? 0) ?? 0).toBe(0);
  expect(errors).toEqual([]);
  peer.destroy();
});

test('an idle one', () => {
  resetSocket(socket);
});

test('one with bytes that are not read', async () => {
  socket.write(Buffer.alloc(16 * 1024 * 1024));
  await turn();
  resetSocket(socket);
});

test('one with such bytes that has been ended', async () => {
  socket.write(Buffer.alloc(16 * 1024 * 1024));
  await turn();
  socket.end();
  resetSocket(socket);
});

test('one with bytes written past its stream that has been ended', async () => {
  await new Promise<void>((resolve) => {
    if (rawWrite(socket, handleOf(socket), Buffer.from('first'), () => resolve())) resolve();
  });
  const large = Buffer.alloc(16 * 1024 * 1024);
  expect(rawWrite(socket, handleOf(socket), large, () => {})).toBe(false);
  expect(socket.writableLength).toBe(0);
  socket.end();
  resetSocket(socket);
});

test('one that is being ended', () => {
  socket.end();
  resetSocket(socket);
});

test('one that is being ended behind bytes the kernel has', () => {
  socket.end('bytes');
  resetSocket(socket);
});

test('one that is being ended, twice', () => {
  socket.end();
  resetSocket(socket);
  resetSocket(socket);
});

test('one that has been ended', async () => {
  socket.end('bytes');
  await once(socket, 'finish');
  resetSocket(socket);
});

test('one that is gone', async () => {
  socket.destroy();
  resetSocket(socket);
  await once(socket, 'close');
  resetSocket(socket);
});
