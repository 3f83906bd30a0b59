/**
 * Peers that are no roomcast server, or a future version: the client reports a state with a reason and
 * an error with a code, and never throws or stays silent. Over real sockets, and frame by frame.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket as Tcp } from 'node:net';
import { createServer as createTls } from 'node:tls';
import fc from 'fast-check';
import { expect, it, onTestFinished, vi } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import {
  type CloseReason,
  connect,
  type RoomcastError,
  type Socket,
} from '../../client/src/index.js';
import { presence } from '../../client/src/presence.js';
import { certificate } from '../support/certificate.js';
import { serve } from '../support/server.js';
import { rig } from './rig.js';

const WAIT = { timeout: 30_000, interval: 5 };

/** Listens on a free port; its connections are destroyed after the test. */
async function listen(server: Server): Promise<number> {
  const sockets = new Set<Tcp>();
  server.on('connection', (socket: Tcp) => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}
const ws = (port: number) => `ws://127.0.0.1:${port}/ws`;
const tls = () => {
  const { tlsKey, tlsCert } = certificate();
  return createTls({ key: readFileSync(tlsKey), cert: readFileSync(tlsCert) });
};
/** A WebSocket server that sends this to each client. */
const saying = async (text: string | Buffer | undefined) => {
  const http = createHttp();
  const server = new WebSocketServer({ server: http });
  server.on('connection', (socket) => {
    if (text !== undefined) socket.send(text);
    socket.on('message', (data) => socket.send(data));
  });
  return ws(await listen(http));
};

const STRANGERS: Record<string, readonly [start: () => Promise<string>, reason: number | string]> =
  {
    'an HTTP server that answers as if it were asked for a page': [
      async () => ws(await listen(createHttp((_, response) => response.end('<html>')))),
      1006,
    ],
    'a raw TCP echo': [
      async () => ws(await listen(createServer((socket) => socket.pipe(socket)))),
      1006,
    ],
    'a port that says nothing': [async () => ws(await listen(createServer())), 'connect_timeout'],
    'a port that hangs up': [
      async () => ws(await listen(createServer((socket) => socket.destroy()))),
      1006,
    ],
    'a TLS port, without TLS': [async () => ws(await listen(tls())), 1006],
    'a plain port, with TLS': [
      async () => `wss://127.0.0.1:${await listen(createHttp())}/ws`,
      1006,
    ],
    'a certificate that nobody trusts': [
      async () => `wss://127.0.0.1:${await listen(tls())}/ws`,
      1006,
    ],
    'a port where nobody is': [
      async () => {
        const server = createServer().listen(0, '127.0.0.1');
        await once(server, 'listening');
        const { port } = server.address() as AddressInfo;
        server.close();
        return ws(port);
      },
      1006,
    ],
    'a WebSocket that waits for others to begin': [() => saying(undefined), 'connect_timeout'],
    'a WebSocket that speaks another language': [() => saying('hello'), 'bad_frame'],
    'a WebSocket that speaks in bytes': [() => saying(Buffer.from([1, 2, 3])), 'bad_frame'],
    'another path of a server of roomcast': [
      async () => (await serve({ keepAliveMs: 1000 })).url.replace('http', 'ws'),
      1006,
    ],
  };

const SOCKETS: Record<string, ((url: string) => Socket) | undefined> = {
  ws: (url) => new WebSocket(url),
  // The built-in one of browsers and Node 22.
  ...('WebSocket' in globalThis && { 'the WebSocket of Node': undefined }),
};

/** Everything the client reports. */
async function told(url: string, connectTimeoutMs: number, open?: (url: string) => Socket) {
  const client = connect(url, {
    ...(open && { WebSocket: open }),
    lifecycle: false,
    backoff: { baseMs: 1 },
    connectTimeoutMs,
  });
  const reasons: unknown[] = [];
  const errors: RoomcastError[] = [];
  client.on('state', ({ reason }) => reason && reasons.push(reason.code));
  client.on('error', (error) => errors.push(error));
  const joined = client.room('a').join();
  await vi.waitFor(() => expect(reasons.length).toBeGreaterThan(5), WAIT);
  await client.close();
  await expect(joined).rejects.toMatchObject({ code: 'closed' });
  const [fifth] = reasons.slice(4);
  return {
    reasons: [...new Set(reasons.slice(0, -1))],
    errors: errors.map(({ code, retryable, cause }) => [
      code,
      retryable,
      (cause as CloseReason).code === fifth,
    ]),
  };
}

it.each(Object.keys(SOCKETS))(
  'each is retried, and an error at the fifth attempt, by %s',
  async (name) => {
    const all = Object.entries(STRANGERS).map(async ([who, [start, reason]]) => {
      const { reasons, errors } = await told(
        await start(),
        reason === 'connect_timeout' ? 200 : 20_000,
        SOCKETS[name],
      );
      expect([who, reasons, errors]).toEqual([who, [reason], [['unreachable', true, true]]]);
    });
    await Promise.all(all);
  },
);

it.each([
  '',
  'no url',
  'ftp://127.0.0.1/',
  'ws://127.0.0.1:99999/',
  'ws://127.0.0.1/#part',
  'ws://',
])('the URL %j closes the client with a reason, with or without a listener', async (url) => {
  const log = vi.spyOn(console, 'error').mockImplementation(() => {});
  onTestFinished(() => log.mockRestore());
  const options = {
    WebSocket: (url: string) => new WebSocket(url),
    lifecycle: false,
  } as const;
  const silent = connect(url, options);
  await vi.waitFor(() => expect(silent.state).toBe('closed'), WAIT);
  expect(log.mock.calls.map(([error]) => error)).toMatchObject([
    { name: 'RoomcastError', code: 'bad_url', retryable: false, cause: { code: 'bad_url' } },
  ]);
  const client = connect(url, options);
  const told: unknown[] = [];
  client.on('state', ({ state, reason }) => told.push([state, reason?.code]));
  await expect(client.room('a').join()).rejects.toMatchObject({ code: 'bad_url' });
  expect(told.at(-1)).toEqual(['closed', 'bad_url']);
  expect(log).toHaveBeenCalledTimes(1);
});

it('without a WebSocket implementation the client closes with a reason', async () => {
  vi.stubGlobal('WebSocket', undefined);
  onTestFinished(() => void vi.unstubAllGlobals());
  const client = connect('ws://127.0.0.1/ws', { lifecycle: false });
  client.on('state', () => {});
  const error = await client
    .room('a')
    .join()
    .catch((error) => error);
  expect(error).toMatchObject({ code: 'bad_url', cause: { message: /WebSocket/ } });
});

/** Every type that the client knows, with arbitrary fields. */
const frame = fc.record(
  {
    type: fc.constantFrom(
      ...['welcome', 'joined', 'left', 'published', 'authenticated', 'history', 'past', 'pong'],
      ...['error', 'message', 'gap', 'reset', 'broker', 'health', 'presence', 'presence_diff'],
      ...['expiring', 'closing', 'of_tomorrow'],
    ),
    id: fc.oneof(fc.constantFrom(1, 2, 3, 4), fc.jsonValue()),
    room: fc.oneof(fc.constant('a'), fc.jsonValue()),
    ...Object.fromEntries(
      [
        ...['seq', 'epoch', 'from', 'to', 'count', 'reason', 'code', 'message'],
        ...['recover', 'members', 'messages', 'missing', 'next', 'users', 'counts', 'mode', 'rev'],
        ...[
          'after',
          'joined',
          'left',
          'done',
          'features',
          'limits',
          'version',
          'heartbeatMs',
          'data',
        ],
        ...['refreshInMs', 'state', 'queued', 'was', 'auth', 'member'],
      ].map((name) => [name, fc.oneof(fc.integer({ min: -1, max: 5 }), fc.jsonValue())]),
    ),
    // A long text would be stored.
    retryAfterMs: fc.oneof(fc.integer({ min: -9, max: 5 }), fc.constantFrom('x', null, [], {})),
  },
  { requiredKeys: ['type'] },
);

it('no frame causes an exception; afterwards the client continues or reconnects', async () => {
  const log = vi.spyOn(console, 'error').mockImplementation(() => {});
  onTestFinished(() => log.mockRestore());
  const seen = { bad: 0, good: 0 };
  await fc.assert(
    fc.asyncProperty(fc.boolean(), fc.array(frame, { maxLength: 8 }), async (isFirst, frames) => {
      const { server, client, states, pass } = rig({ features: ['history'], keeps: 10 });
      const room = client.room('a');
      presence(room);
      void room.join();
      if (isFirst) server.greeting = JSON.stringify(frames.shift() ?? {});
      await pass(10);
      for (const each of frames) {
        const { socket } = server;
        // Like a real socket: an exception here would reach the process.
        socket.onmessage?.({ data: JSON.stringify(each) } as never);
        await pass(1);
      }
      server.greeting = undefined;
      seen[states.some((state) => state === 'waiting bad_frame') ? 'bad' : 'good'] += 1;
      await pass(70_000);
      // Some frames close the client permanently.
      if (client.state === 'closed')
        expect(JSON.stringify(frames) + states).toMatch(/closing|version/);
      else expect(client.state).toBe('online');
      await client.close();
      await pass(1);
      expect(vi.getTimerCount()).toBe(0);
      vi.useRealTimers();
    }),
    { numRuns: 150 },
  );
  expect(seen.bad).toBeGreaterThan(10);
  expect(seen.good).toBeGreaterThan(10);
});
