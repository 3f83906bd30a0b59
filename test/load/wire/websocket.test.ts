import { createHash } from 'node:crypto';
import dns from 'node:dns';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import fc from 'fast-check';
import { expect, onTestFinished, test, vi } from 'vitest';
import { WebSocketServer } from 'ws';
import { WebSocketWire } from '../../../src/load/wire/websocket.js';
import type { WireEvents } from '../../../src/load/wire/wire.js';
import { Signal } from '../../support/signal.js';

interface Heard {
  payloads: string[];
  opened: number;
  bytes: number;
  closed: string[];
  changed: Signal;
}

function listen(): { heard: Heard; events: WireEvents } {
  const heard: Heard = { payloads: [], opened: 0, bytes: 0, closed: [], changed: new Signal() };
  const events: WireEvents = {
    chunk: (bytes) => {
      heard.bytes += bytes;
    },
    open: () => {
      heard.opened++;
      heard.changed.fire();
    },
    payload: (buf, start, end) => {
      heard.payloads.push(buf.toString('utf8', start, end));
      heard.changed.fire();
    },
    closed: (reason) => {
      heard.closed.push(reason);
      heard.changed.fire();
    },
  };
  return { heard, events };
}

const endpoint = (port: number, headers: Record<string, string> = {}) => ({
  host: '127.0.0.1',
  port,
  tls: false,
  path: '/path?x=1',
  headers,
  readSize: 65_536,
});

async function startWs(): Promise<{ server: WebSocketServer; port: number }> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  onTestFinished(() => {
    for (const client of server.clients) client.terminate();
    server.close();
  });
  return { server, port: (server.address() as AddressInfo).port };
}

/** A TCP server that accepts every upgrade and hands over the socket. */
async function startRaw(
  accept = (key: string) => key,
): Promise<{ port: number; peer: Promise<Socket> }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const peer = once(server, 'connection').then(async ([socket]: Socket[]) => {
    socket!.on('error', () => {});
    const [request] = (await once(socket!, 'data')) as [Buffer];
    const key = /Sec-WebSocket-Key: (.*)\r\n/.exec(request.toString())?.[1] ?? '';
    const hash = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
    socket!.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept(hash.digest('base64'))}\r\n\r\n`,
    );
    return socket!;
  });
  onTestFinished(() => {
    void peer.then((socket) => socket.destroy());
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, peer };
}

function serverFrame(first: number, payload: Buffer): Buffer {
  const { length } = payload;
  if (length < 126) return Buffer.concat([Buffer.from([first, length]), payload]);
  const head = Buffer.alloc(length < 65_536 ? 4 : 10);
  head[0] = first;
  head[1] = length < 65_536 ? 126 : 127;
  if (length < 65_536) head.writeUInt16BE(length, 2);
  else head.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([head, payload]);
}

test('it exchanges payloads of any size with a real server', async () => {
  const { server, port } = await startWs();
  const connected = once(server, 'connection');
  const { heard, events } = listen();
  const wire = new WebSocketWire(endpoint(port, { 'X-Test': 'yes' }), events);
  const [client, request] = await connected;
  expect(request.url).toBe('/path?x=1');
  expect(request.headers['x-test']).toBe('yes');
  await heard.changed.until(() => heard.opened === 1);
  for (const size of [0, 125, 126, 65_535, 65_536, 200_000]) {
    const text = 'ü'.repeat(size);
    const echoed = once(client, 'message');
    wire.send(Buffer.from(text));
    expect(String((await echoed)[0])).toBe(text);
    client.send(text);
    await heard.changed.until(() => heard.payloads.length > 0);
    expect(heard.payloads.pop()).toBe(text);
  }
  const closed = once(client, 'close');
  wire.close();
  expect((await closed)[0]).toBe(1000);
  await heard.changed.until(() => heard.closed.length === 1);
});

test('frames arrive whole however reads split them', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom(0, 1, 3, 124, 125, 126, 300, 70_000), {
        minLength: 1,
        maxLength: 6,
      }),
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 }),
      async (sizes, cuts) => {
        const { port, peer } = await startRaw();
        const { heard, events } = listen();
        const wire = new WebSocketWire(endpoint(port), events);
        const socket = await peer;
        const texts = sizes.map((size, i) => String.fromCharCode(97 + i).repeat(size));
        const stream = Buffer.concat(texts.map((text) => serverFrame(0x81, Buffer.from(text))));
        let at = 0;
        for (const end of [
          ...cuts.map((cut) => Math.floor(cut * stream.length)),
          stream.length,
        ].sort((a, b) => a - b)) {
          const before = heard.bytes;
          socket.write(stream.subarray(at, end));
          // Sends the next piece only once this one has been read, or reads would join them.
          while (heard.bytes - before < end - at || heard.opened === 0) {
            await new Promise((resolve) => setImmediate(resolve));
          }
          at = end;
        }
        expect(heard.payloads).toEqual(texts);
        wire.reset();
        socket.destroy();
      },
    ),
    { numRuns: 40 },
  );
});

test('fragments are joined, and pings answered between them', async () => {
  const { port, peer } = await startRaw();
  const { heard, events } = listen();
  const wire = new WebSocketWire(endpoint(port), events);
  const socket = await peer;
  const answered = once(socket, 'data');
  socket.write(
    Buffer.concat([
      serverFrame(0x01, Buffer.from('one ')),
      serverFrame(0x89, Buffer.from('p')),
      serverFrame(0x00, Buffer.from('two ')),
      serverFrame(0x80, Buffer.from('three')),
    ]),
  );
  await heard.changed.until(() => heard.payloads.length === 1);
  expect(heard.payloads).toEqual(['one two three']);
  const [pong] = (await answered) as [Buffer];
  expect(pong[0]).toBe(0x8a);
  expect(pong[1]! & 0x80).toBe(0x80);
  wire.reset();
});

test('a close by the server reports its code and reason', async () => {
  const { server, port } = await startWs();
  server.on('connection', (client) => client.close(4101, 'slow consumer'));
  const { heard, events } = listen();
  new WebSocketWire(endpoint(port), events);
  await heard.changed.until(() => heard.closed.length > 0);
  expect(heard.closed).toEqual(['4101 slow consumer']);
});

test('a refused upgrade reports the status', async () => {
  const { server, port } = await startWs();
  server.options.verifyClient = (_info, done) => done(false, 403);
  const { heard, events } = listen();
  new WebSocketWire(endpoint(port), events);
  await heard.changed.until(() => heard.closed.length > 0);
  expect(heard.closed).toEqual(['refused the upgrade: 403 Forbidden']);
  expect(heard.opened).toBe(0);
});

test('a server that does not answer the key is refused', async () => {
  const { port } = await startRaw(() => 'nonsense');
  const { heard, events } = listen();
  new WebSocketWire(endpoint(port), events);
  await heard.changed.until(() => heard.closed.length > 0);
  expect(heard.closed).toEqual(['wrong Sec-WebSocket-Accept']);
});

test('a refused connection is an errno', async () => {
  const { heard, events } = listen();
  new WebSocketWire(endpoint(1), events);
  await heard.changed.until(() => heard.closed.length > 0);
  expect(heard.closed).toEqual(['ECONNREFUSED']);
});

test('while paused it reads no byte, and a probe detects a reset without sending or reading one', async () => {
  const { port, peer } = await startRaw();
  const { heard, events } = listen();
  const wire = new WebSocketWire(endpoint(port), events);
  const socket = await peer;
  await heard.changed.until(() => heard.opened === 1);
  wire.pause();
  const before = heard.bytes;
  const received: Buffer[] = [];
  socket.on('data', (bytes: Buffer) => received.push(bytes));
  await new Promise<void>((resolve) => socket.write(Buffer.alloc(30_000, 1), () => resolve()));
  wire.probe();
  await new Promise((resolve) => setImmediate(resolve));
  expect(heard.closed).toEqual([]);
  socket.resetAndDestroy();
  await once(socket, 'close');
  // The reset needs a turn of the loopback to arrive.
  while (heard.closed.length === 0) {
    wire.probe();
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(heard.closed).toEqual([expect.stringMatching(/^(EPIPE|ECONNRESET)$/)]);
  expect(heard.bytes).toBe(before);
  expect(received).toEqual([]);
});

test('a reset ends a socket that is still connecting, without waiting for the connection', async () => {
  // A name that does not resolve: the socket keeps connecting.
  const lookup = vi.spyOn(dns, 'lookup').mockImplementation((() => {}) as never);
  onTestFinished(() => lookup.mockRestore());
  const { heard, events } = listen();
  const wire = new WebSocketWire({ ...endpoint(9), host: 'nobody.test' }, events);
  wire.reset();
  await heard.changed.until(() => heard.closed.length === 1);
  expect(lookup).toHaveBeenCalledOnce();
});

test('a frame above the limit ends the connection, even if a read ends within its header', async () => {
  const head = serverFrame(0x82, Buffer.alloc(65_536)).subarray(0, 10);
  head.writeBigUInt64BE(BigInt(2 ** 40), 2);
  for (const cut of [10, 3]) {
    const { port, peer } = await startRaw();
    const { heard, events } = listen();
    new WebSocketWire(endpoint(port), events);
    const socket = await peer;
    await heard.changed.until(() => heard.opened === 1);
    const before = heard.bytes;
    socket.write(head.subarray(0, cut));
    while (heard.bytes - before < cut) await new Promise((resolve) => setImmediate(resolve));
    if (cut < head.length) socket.write(head.subarray(cut));
    await heard.changed.until(() => heard.closed.length === 1);
    expect(heard.closed).toEqual(['frame larger than 64 MiB']);
  }
});

test('fragments that together exceed the limit end the connection', async () => {
  const { port, peer } = await startRaw();
  const { heard, events } = listen();
  new WebSocketWire({ ...endpoint(port), readSize: 1024 * 1024 }, events);
  const socket = await peer;
  const part = Buffer.alloc(33 * 1024 * 1024, 0x2e);
  socket.write(serverFrame(0x01, part));
  socket.write(serverFrame(0x00, part));
  await heard.changed.until(() => heard.closed.length === 1);
  expect(heard.closed).toEqual(['frame larger than 64 MiB']);
  expect(heard.payloads).toEqual([]);
});
