/** Which sockets are closed when their number exceeds the limit. */
import { once } from 'node:events';
import { createServer, get, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { blockList } from '../src/options/networks.js';
import type { SocketRefusal } from '../src/room/observer.js';
import { Sockets, type SocketsOptions } from '../src/sockets.js';

const WAIT = { timeout: 20_000, interval: 5 };

async function start(options: Partial<SocketsOptions> = {}) {
  const refused: SocketRefusal[] = [];
  const told: unknown[] = [];
  const sockets = new Sockets({
    limit: 20,
    maxConnectionsPerAddress: 0,
    trustedProxies: blockList([]),
    observer: { socketRefused: (reason) => refused.push(reason) },
    closeLog: { refusedSocket: (...line) => told.push(line) },
    ...options,
  });
  let accepted = 0;
  let dialled = 0;
  const streams: ServerResponse[] = [];
  const http = createServer((request, response) => {
    if (request.url === '/stream') {
      sockets.claimFor(request, response);
      streams.push(response);
      response.write('begun');
    } else response.end('answered');
  });
  sockets.watch(http);
  http.on('connection', () => {
    accepted += 1;
  });
  http.listen({ port: 0, host: '0.0.0.0' });
  await once(http, 'listening');
  const { port } = http.address() as AddressInfo;
  onTestFinished(async () => {
    for (const socket of sockets.open) socket.destroy();
    http.close();
    await once(http, 'close');
  });

  const dial = (localAddress: string) => {
    const socket = connect({ port, host: '127.0.0.1', localAddress });
    socket.on('error', () => {});
    onTestFinished(() => void socket.destroy());
    return socket;
  };
  return {
    http,
    refused,
    sockets,
    streams,
    told,
    open: () => [...sockets.open].length,
    /** Silent sockets of one address, once all are accepted. */
    async silent(localAddress: string, count: number): Promise<Socket[]> {
      const all: Socket[] = [];
      // One by one, so that they are accepted in this order.
      for (let n = 0; n < count; n += 1) {
        const socket = dial(localAddress);
        all.push(socket);
        await once(socket, 'connect');
      }
      dialled += count;
      await vi.waitFor(() => expect(accepted).toBeGreaterThanOrEqual(dialled), WAIT);
      return all;
    },
    /** The body of an answer, or the code of the error. */
    ask: (localAddress: string) =>
      new Promise<string>((resolve) => {
        dialled += 1;
        const request = get({ port, host: '127.0.0.1', localAddress, agent: false }, (response) => {
          response.setEncoding('utf8').on('data', resolve);
        });
        request.on('error', (error: NodeJS.ErrnoException) => resolve(String(error.code)));
      }),
    async stream(localAddress: string): Promise<Socket> {
      const socket = dial(localAddress);
      socket.write('GET /stream HTTP/1.1\r\nHost: a\r\n\r\n');
      await once(socket, 'data');
      dialled += 1;
      return socket;
    },
  };
}
/** Sockets that the server has closed. */
const ended = (sockets: readonly Socket[]) => sockets.filter((socket) => socket.closed);

describe('at the limit of sockets', () => {
  test('the address with most sockets loses its longest-idle one', async () => {
    const server = await start();
    const many = await server.silent('127.0.0.2', 19);
    const [few] = await server.silent('127.0.0.3', 1);
    expect(await server.ask('127.0.0.1')).toBe('answered');
    await vi.waitFor(() => expect(ended(many)).toEqual([many[0]]), WAIT);
    expect([server.refused, few?.closed]).toEqual([['full'], false]);
    expect(server.told).toEqual([['full', '127.0.0.2']]);
  });

  test('an address that keeps connecting only replaces its own sockets', async () => {
    const server = await start();
    const others = await server.silent('127.0.0.3', 5);
    await server.silent('127.0.0.2', 100);
    expect(server.open()).toBe(20);
    expect(ended(others)).toEqual([]);
    expect(server.refused).toHaveLength(85);
    for (let n = 0; n < 5; n += 1) expect(await server.ask('127.0.0.1')).toBe('answered');
  });

  test('a socket with a counted stream stays, and can be closed once the stream ends', async () => {
    const server = await start({ limit: 10 });
    const streams: Socket[] = [];
    for (let n = 0; n < 8; n += 1) streams.push(await server.stream('127.0.0.2'));
    await server.silent('127.0.0.3', 20);
    expect([server.open(), ended(streams)]).toEqual([10, []]);
    for (const response of server.streams) response.end();
    await server.silent('127.0.0.4', 1);
    await vi.waitFor(() => expect(ended(streams)).toEqual([streams[0]]), WAIT);
  });

  test('the socket of an address that sent a request last is closed last', async () => {
    const server = await start({ limit: 3 });
    const [first, second] = await server.silent('127.0.0.2', 3);
    first?.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await once(first as Socket, 'data');
    expect(await server.ask('127.0.0.1')).toBe('answered');
    await vi.waitFor(() => expect(second?.closed).toBe(true), WAIT);
    expect(first?.closed).toBe(false);
  });
});

test('an address may have its members and a few sockets more, a trusted proxy any number', async () => {
  const server = await start({
    limit: 1000,
    maxConnectionsPerAddress: 4,
    trustedProxies: blockList(['127.0.0.9']),
  });
  await server.silent('127.0.0.2', 40);
  expect([server.open(), new Set(server.refused)]).toEqual([20, new Set(['address'])]);
  await server.silent('127.0.0.9', 40);
  expect(server.open()).toBe(60);
});

test('a connection that the system cannot accept is counted and logged', async () => {
  const server = await start();
  const emfile = () => server.http.emit('error', Object.assign(new Error(), { code: 'EMFILE' }));
  for (let n = 0; n < 5; n += 1) emfile();
  const each = <T>(value: T) => Array.from({ length: 5 }, () => value);
  expect(server.refused).toEqual(each('machine'));
  expect(server.told).toEqual(each(['machine', null]));
});

test('when the system cannot accept, a socket without a member is closed to free a descriptor', async () => {
  const server = await start();
  const [first] = await server.silent('127.0.0.2', 2);
  const ended = new Promise((resolve) => first?.on('close', resolve));
  server.http.emit('error', Object.assign(new Error(), { code: 'EMFILE' }));
  await ended;
  expect(server.open()).toBe(1);
  expect(server.told).toEqual([
    ['machine', null],
    ['machine', '127.0.0.2'],
  ]);
});
