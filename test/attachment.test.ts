import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import {
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { createRoomcast } from '../src/compose.js';
import { MAX_IN_FLIGHT } from '../src/requests.js';
import type { Roomcast } from '../src/roomcast.js';
import { TRANSPORTS } from '../src/transport/transport.js';
import { certificate } from './support/certificate.js';
import { collectAll } from './support/heap.js';
import { connectReading } from './support/reading-peer.js';
import { EVERYTHING, SECRET, tokenOf } from './support/tokens.js';

const QUICK = { drainMs: 0, shutdownGraceMs: 2000, lockDetector: 'strict' } as const;

function roomcastFor(options = {}): Roomcast {
  const roomcast = createRoomcast({ ...QUICK, ...options });
  onTestFinished(async () => {
    await roomcast.close();
  });
  return roomcast;
}

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const app = (_: IncomingMessage, response: ServerResponse) => response.end('the app');

/** Sends `text` on a raw connection; returns what is received until it ends or matches `enough`. */
async function raw(url: string, text: string, enough: RegExp): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.write(text);
  let answer = '';
  for await (const chunk of socket) {
    answer += chunk;
    if (enough.test(answer)) break;
  }
  socket.destroy();
  return answer;
}

const H2C =
  'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n';

describe.each(TRANSPORTS)('%s', (transport) => {
  test('serves rooms on the HTTP server of an app, which still answers its own requests', async () => {
    const server = createServer(app);
    const roomcast = roomcastFor();
    roomcast.attach(server);
    const url = await listen(server);
    const peer = await connectReading(transport, url);
    peer.say({ type: 'join', id: 1, room: 'news' });
    await peer.until(() => peer.events.some(({ type }) => type === 'joined'));
    await roomcast.publish('news', 'hello');
    await peer.until(() => JSON.stringify(peer.events).includes('hello'));
    expect(await (await fetch(url)).text()).toBe('the app');
    expect(roomcast.members()).toMatchObject([
      { transport, rooms: ['news'], address: '127.0.0.1' },
    ]);
    expect(roomcast.rooms()).toMatchObject([{ room: 'news', members: 1, seq: 1 }]);
    await roomcast.close();
    await peer.until(() => peer.events.some(({ type }) => type === 'closing'));
    expect(await (await fetch(url)).text()).toBe('the app');
    expect((await fetch(`${url}/ws`)).status).toBe(200);
  });
});

describe('the app keeps everything that is not for roomcast', () => {
  test('every path except /ws and those below /sockjs', async () => {
    const server = createServer(app);
    roomcastFor().attach(server);
    const url = await listen(server);
    for (const path of ['/', '/v1/rooms', '/metrics', '/healthz', '/wsx', '/sockjsx', '/a/ws']) {
      expect(await (await fetch(url + path)).text(), path).toBe('the app');
    }
    expect((await fetch(`${url}/ws`)).status).toBe(426);
    expect(await (await fetch(`${url}/sockjs`)).text()).toBe('Welcome to SockJS!\n');
  });

  test('an upgrade for another WebSocket server, attached before or after', async () => {
    const server = createServer(app);
    const others = new WebSocketServer({ noServer: true });
    const greet = (path: string) => (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      if (request.url !== path) return;
      others.handleUpgrade(request, socket, head, (ws) => ws.send(path));
    };
    server.on('upgrade', greet('/early'));
    roomcastFor().attach(server);
    server.on('upgrade', greet('/late'));
    const url = (await listen(server)).replace('http', 'ws');
    for (const path of ['early', 'late', 'ws']) {
      const socket = new WebSocket(`${url}/${path}`);
      const [first] = await once(socket, 'message');
      expect(String(first)).toContain(path === 'ws' ? '"welcome"' : path);
      socket.terminate();
    }
  });

  test('a request that offers h2c, if the app has no upgrade listener', async () => {
    const server = createServer((request, response) => {
      request.resume().on('end', () => response.end(`the app: ${request.url}`));
    });
    const detach = roomcastFor().attach(server);
    roomcastFor({ origin: ['https://a.example'] }).attach(server);
    const url = await listen(server);
    const post = `POST /x HTTP/1.1\r\nHost: a\r\n${H2C}Content-Length: 2\r\n\r\nhi`;
    expect(await raw(url, post, /the app/)).toMatch(/^HTTP\/1.1 200 .*the app: \/x$/s);
    const get = `GET /ws HTTP/1.1\r\nHost: a\r\n${H2C}\r\n`;
    expect(await raw(url, get, /upgrade_required/)).toMatch(/^HTTP\/1.1 426 /);
    detach();
    expect(await raw(url, post, /the app/)).toMatch(/^HTTP\/1.1 200 /);
  });

  test('listeners that the app adds later', async () => {
    const server = createServer();
    roomcastFor().attach(server);
    const url = await listen(server);
    server.on('request', app);
    server.on(
      'checkContinue',
      (_, response) => response.writeContinue() ?? response.end('continued'),
    );
    expect(await (await fetch(url)).text()).toBe('the app');
    expect((await fetch(`${url}/ws`)).status).toBe(426);
    const expecting = (path: string) =>
      raw(
        url,
        `POST ${path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n`,
        /\n\r\n.*\r\n\r\n/s,
      );
    expect(await expecting('/x')).toMatch(/^HTTP\/1.1 100 .*continued/s);
    expect(await expecting('/ws')).toMatch(/^HTTP\/1.1 100 .*HTTP\/1.1 405 /s);
  });
});

test.each([
  ['websocket', {}],
  ['sockjs-websocket', {}],
  ['websocket', { tokenSecret: [SECRET] }],
] as const)(
  '%s, %j: a connection keeps nothing of the request that opened it',
  async (transport, options) => {
    const roomcast = roomcastFor(options);
    const begun: WeakRef<object>[] = [];
    const server = createServer(app).on('upgrade', (request, socket, head) => {
      begun.push(new WeakRef(request), new WeakRef(request.headers));
      roomcast.handleUpgrade(request, socket, head);
    });
    const url = await listen(server);
    const headers = { authorization: `Bearer ${tokenOf({ sub: '42', rooms: EVERYTHING })}` };
    const peer = await connectReading(transport, url, { headers });
    peer.say({ type: 'join', id: 1, room: 'news' });
    await peer.until(() => peer.events.some(({ type }) => type === 'joined'));
    await collectAll();
    expect(begun.map((each) => each.deref())).toEqual([undefined, undefined]);
    await roomcast.publish('news', 'hello');
    await peer.until(() => JSON.stringify(peer.events).includes('hello'));
  },
);

test('two servers, and two roomcasts on one server, detached in any order', async () => {
  const [server, other] = [createServer(app), createServer(app)];
  const [first, second] = [roomcastFor(), roomcastFor()];
  const detach = first.attach(server);
  first.attach(other);
  second.attach(server);
  const url = await listen(server);
  const otherUrl = await listen(other);
  const one = await connectReading('websocket', url);
  const two = await connectReading('websocket', otherUrl);
  expect(first.members()).toHaveLength(2);
  detach();
  const three = await connectReading('websocket', url);
  expect(second.members()).toHaveLength(1);
  await second.close();
  expect(await (await fetch(`${url}/ws`)).text()).toBe('the app');
  // It was only detached: connected members stay.
  one.say({ type: 'ping', id: 1 });
  await one.until(() => one.events.some(({ type }) => type === 'pong'));
  expect(await three.closed).toBe(4200);
  expect(first.members().map(({ id }) => id)).toEqual([one.id, two.id]);
});

test('of two roomcasts that an app gives the same requests, the first one serves them', async () => {
  const [first, second] = [roomcastFor(), roomcastFor()];
  const server = createServer((request, response) => {
    first.handle(request, response);
    second.handle(request, response);
  });
  server.on('upgrade', (request, socket, head) => {
    first.handleUpgrade(request, socket, head);
    second.handleUpgrade(request, socket, head);
  });
  const url = await listen(server);
  const peers = [];
  for (const transport of TRANSPORTS) {
    const peer = await connectReading(transport, url);
    peers.push(peer);
    peer.say({ type: 'join', id: 1, room: 'news' });
    await peer.until(() => peer.events.some(({ type }) => type === 'joined'));
  }
  expect(first.members()).toHaveLength(TRANSPORTS.length);
  expect(second.members()).toEqual([]);
  await second.close();
  await first.publish('news', 'hello');
  for (const peer of peers) {
    await peer.until(() => JSON.stringify(peer.events).includes('hello'));
  }
});

test('detaching restores the server', async () => {
  const server = createServer(app);
  const before = Object.getOwnPropertySymbols(server).map((key) => Reflect.get(server, key));
  const [one, two] = [roomcastFor(), roomcastFor()];
  const detach = [one.attach(server), two.attach(server)];
  expect(server.listenerCount('upgrade')).toBe(1);
  detach[0]?.();
  detach[0]?.();
  await two.close();
  expect(server.listenerCount('upgrade')).toBe(0);
  expect(Object.hasOwn(server, 'emit')).toBe(false);
  expect(Object.getOwnPropertySymbols(server).map((key) => Reflect.get(server, key))).toEqual(
    before,
  );
});

test('handle and handleUpgrade return whether they took the request', async () => {
  const roomcast = roomcastFor();
  const answers: unknown[] = [];
  const server = createServer((request, response) => {
    answers.push(roomcast.handle(request, response, () => app(request, response)));
  });
  server.on('upgrade', (request, socket, head) => {
    if (!roomcast.handleUpgrade(request, socket, head)) socket.end('HTTP/1.1 418 no\r\n\r\n');
  });
  const url = await listen(server);
  expect(await (await fetch(url)).text()).toBe('the app');
  expect((await fetch(`${url}/sockjs/info`)).status).toBe(200);
  expect(answers).toEqual([false, true]);
  const peer = await connectReading('websocket', url);
  const stranger = request(`${url}/x`, {
    headers: { connection: 'upgrade', upgrade: 'websocket' },
  });
  stranger.end();
  const [{ statusCode }] = await once(stranger, 'response');
  expect(statusCode).toBe(418);
  await roomcast.close();
  // Even a closed roomcast answers: no request hangs.
  expect((await fetch(`${url}/sockjs/info`)).status).toBe(503);
  expect(
    await raw(
      url,
      'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
      /\r\n\r\n/,
    ),
  ).toMatch(/^HTTP\/1.1 503 /);
  expect(await peer.closed).toBe(4200);
});

test('unanswered requests are bounded on the server of an app too', async () => {
  const server = createServer(app);
  roomcastFor().attach(server);
  const url = await listen(server);
  const session = (n: number) => `/sockjs/000/session${n}`;
  const ask = (n: number) =>
    `POST ${session(n)}/xhr HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`;
  const text = Array.from({ length: MAX_IN_FLIGHT + 8 }, (_, n) => ask(n)).join('');
  const answer = await raw(url, text, /429 /);
  expect(answer.match(/HTTP\/1.1 429 /g)).toHaveLength(1);
});

test('behind that many requests for roomcast, a request for the app is not read either', async () => {
  const seen: unknown[] = [];
  const server = createServer(({ url }, response) => response.end(seen.push(url)));
  roomcastFor().attach(server);
  const url = await listen(server);
  const asks = Array.from(
    { length: MAX_IN_FLIGHT },
    (_, n) => `POST /sockjs/000/app${n}/xhr HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`,
  );
  const answer = await raw(url, `${asks.join('')}GET /x HTTP/1.1\r\nHost: a\r\n\r\n`, /429 /);
  expect(answer.match(/HTTP\/1.1 429 /g)).toHaveLength(1);
  expect(seen).toEqual([]);
});

test('with a path prefix, API, metrics and pages are below it, and closing ends their viewers', async () => {
  const server = createServer(app);
  const roomcast = roomcastFor({ pathPrefix: '/rt' });
  roomcast.attach(server);
  const url = await listen(server);
  const peer = await connectReading('websocket', `${url}/rt`);
  const members = (await (await fetch(`${url}/rt/v1/members`)).json()) as { members: object[] };
  expect(members.members).toMatchObject([{ id: peer.id }]);
  for (const path of ['/rt/', '/rt/metrics', '/rt/docs', '/rt/sockjs/info']) {
    expect([path, (await fetch(url + path)).status]).toEqual([path, 200]);
  }
  for (const path of ['/', '/ws', '/metrics', '/rtx', '/v1/members']) {
    expect([path, await (await fetch(url + path)).text()]).toEqual([path, 'the app']);
  }
  const viewer = await fetch(`${url}/rt/v1/live`);
  expect(viewer.status).toBe(200);
  const ended = expect(viewer.text()).rejects.toThrow();
  await roomcast.close();
  await ended;
  expect(await (await fetch(url)).text()).toBe('the app');
});

test('an https server serves rooms as an http server does', async () => {
  const { tlsCert: cert, tlsKey: key } = certificate();
  const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, app);
  const roomcast = roomcastFor();
  roomcast.attach(server);
  const url = (await listen(server)).replace('http', 'wss');
  const socket = new WebSocket(`${url}/ws`, { rejectUnauthorized: false });
  const [welcome] = await once(socket, 'message');
  expect(String(welcome)).toContain('"welcome"');
  const closed = once(socket, 'close');
  await roomcast.close();
  expect((await closed)[0]).toBe(4200);
});

test.each([
  ['nothing', undefined],
  ['an app', () => {}],
  ['an object', {}],
])('%s is not a server', (_, given) => {
  expect(() => roomcastFor().attach(given as unknown as Server)).toThrow(
    /takes a server of node:http/,
  );
});

test('an unknown reason to kick is refused; an unknown member is not kicked', async () => {
  const server = createServer(app);
  const roomcast = roomcastFor();
  roomcast.attach(server);
  const peer = await connectReading('websocket', await listen(server));
  const { id } = peer;
  expect(() => roomcast.kick(id, 'because' as never)).toThrow(
    expect.objectContaining({ code: 'bad_command' }),
  );
  expect(roomcast.kick('nobody')).toBe(false);
  expect(roomcast.kick(id)).toBe(true);
  expect(await peer.closed).toBe(4003);
});
