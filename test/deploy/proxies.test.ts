/**
 * Runs nginx, HAProxy and Caddy. With the configurations of `deploy/proxies/` every transport works,
 * also below a path prefix. With a minimal configuration nothing of the internal port is reachable.
 * Traefik is not in Debian, so `files.test.ts` only checks its file.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import type { Config } from '../../src/options/config.js';
import { TRANSPORTS } from '../../src/transport/transport.js';
import { freePort } from '../support/free-port.js';
import { has } from '../support/installed.js';
import { PROXIES, type ProxyName, startProxy, startTcpProxy } from '../support/proxies.js';
import { connectReading, type ReadingPeer } from '../support/reading-peer.js';
import { serve } from '../support/server.js';

/** Another address of this machine than the proxies connect from. */
const CLIENT = '127.0.0.5';
/** Headers with which a client may try to spoof its address. */
const LIES = { 'X-Forwarded-For': '203.0.113.9', Forwarded: 'for=203.0.113.9' };

const hostOf = (url: string) => new URL(url).host;

const typesOf = ({ events }: ReadingPeer) => events.map(({ type }) => type);

async function join(peer: ReadingPeer): Promise<void> {
  peer.say({ type: 'join', id: 1, room: 'news' });
  await peer.until(() => typesOf(peer).includes('joined'));
}

/** A server behind a proxy with the shipped configuration. */
async function behind(name: ProxyName, prefix = '/', options: Partial<Config> = {}) {
  const trusting = { pathPrefix: prefix, trustProxy: ['127.0.0.1'], shutdownGraceMs: 8000 };
  const server = await serve({ ...trusting, ...options });
  const origin = await startProxy(name, 'ours', { servers: [hostOf(server.url)], prefix });
  const url = prefix === '/' ? origin : origin + prefix;
  const connectAll = () =>
    Promise.all(
      TRANSPORTS.map((each) => connectReading(each, url, { localAddress: CLIENT, headers: LIES })),
    );
  return { server, connectAll, url };
}

/** Status line and remainder of the answer to a raw request. */
async function raw(url: string, text: string): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1').setEncoding('utf8');
  let answer = '';
  socket.on('data', (chunk) => {
    answer += chunk;
  });
  socket.write(text);
  await once(socket, 'close');
  return answer;
}

/** Paths of the internal port. */
const INSIDE = [
  '/',
  '/metrics',
  '/docs',
  '/v1/openapi.json',
  '/v1/members',
  '/v1/rooms',
  '/v1/live',
];
/** Headers with which a client may try to make its request look local. */
const TRICKS = [
  'Host: rooms.example.com',
  'Host: 127.0.0.1',
  'Host: localhost:8081',
  'Host: 127.0.0.1\r\nX-Forwarded-For: 127.0.0.1',
  'Host: 127.0.0.1\r\nForwarded: for=127.0.0.1;host=localhost',
  'Host: 127.0.0.1\r\nX-Forwarded-Host: localhost\r\nX-Real-IP: 127.0.0.1',
  'Host: 127.0.0.1\r\nConnection: X-Forwarded-For, Forwarded, Via',
];

test.skipIf(!has('haproxy')).each([1, 2] as const)(
  'HAProxy in TCP mode with PROXY protocol version %i: every transport has the true address',
  async (version) => {
    const server = await serve({ proxyProtocol: true, trustProxy: ['127.0.0.1'] });
    const url = await startTcpProxy(hostOf(server.url), version);
    const peers = await Promise.all(
      TRANSPORTS.map((each) => connectReading(each, url, { localAddress: CLIENT, headers: LIES })),
    );
    const members = server.members().map(({ transport, address }) => [transport, address]);
    expect(members.sort()).toEqual([...TRANSPORTS].sort().map((each) => [each, CLIENT]));
    for (const peer of peers) await join(peer);
    await server.publish('news', 'hello');
    for (const peer of peers) await peer.until(() => typesOf(peer).includes('message'));
  },
);

describe.each(PROXIES)('%s', (name) => {
  describe.skipIf(!has(name)).each(['/', '/realtime'])('with everything below %s', (prefix) => {
    test('every transport: addresses, messages, evictions, a shutdown', async () => {
      const { server, connectAll } = await behind(name, prefix);
      const peers = await connectAll();
      const members = server.members().map(({ transport, address }) => [transport, address]);
      expect(members.sort()).toEqual([...TRANSPORTS].sort().map((each) => [each, CLIENT]));
      for (const peer of peers) await join(peer);
      await server.publish('news', 'hello');
      for (const peer of peers) await peer.until(() => typesOf(peer).includes('message'));

      for (const peer of await connectAll()) {
        expect(server.kick(peer.id, 'slow_consumer')).toBe(true);
        expect([peer.name, await peer.closed]).toEqual([peer.name, 4101]);
        expect(peer.events.at(-1)).toMatchObject({ type: 'closing', code: 4101 });
      }

      await server.close();
      for (const peer of peers) {
        expect([peer.name, await peer.closed]).toEqual([peer.name, 4200]);
        const closing = { type: 'closing', code: 4200, retryAfterMs: expect.any(Number) };
        expect(peer.events.at(-1)).toMatchObject(closing);
      }
    }, 60_000);
  });

  test.skipIf(!has(name))(
    'a member that does not read is evicted, without delaying others',
    async () => {
      const { server, url } = await behind(name, '/', {
        stallAfterMs: 1500,
        queueMessages: 16,
        maxMessageBytes: 600_000,
        queueBytes: 1_200_000,
        // Heartbeats are not tested here.
        heartbeatMs: 120_000,
      });
      const ended = new Map<string, string>();
      server.on('closed', ({ member, reason }) => void ended.set(member, reason));
      const [slow, streaming, reading] = await Promise.all(
        (['websocket', 'xhr-streaming', 'websocket'] as const).map((each) =>
          connectReading(each, url),
        ),
      );
      const all = [slow!, streaming!, reading!];
      for (const peer of all) await join(peer);
      const stalled = [slow!, streaming!];
      for (const peer of stalled) peer.stall();
      const data = 'x'.repeat(500_000);
      const came = () => typesOf(reading!).filter((type) => type === 'message').length;
      for (let n = 1; ended.size < 2; n += 1) {
        await server.publish('news', data);
        await reading!.until(() => came() === n);
      }
      expect([...ended.keys()].sort()).toEqual(stalled.map(({ id }) => id).sort());
      expect(ended.get(slow!.id)).toBe('slow_consumer');
      // Buffers may hold a complete streaming response; then the client does not poll again.
      expect(['slow_consumer', 'lost']).toContain(ended.get(streaming!.id));
      expect(typesOf(reading!)).not.toContain('gap');
    },
    60_000,
  );

  test.skipIf(!has(name))(
    'in its minimal form exposes nothing of the internal port',
    async () => {
      const server = await serve({ shutdownGraceMs: 0, internalPort: await freePort() });
      const url = await startProxy(name, 'simplest', { servers: [hostOf(server.url)] });
      for (const version of ['1.1', '1.0']) {
        for (const trick of TRICKS) {
          const head = `HTTP/${version}\r\n${trick}\r\nConnection: close\r\n\r\n`;
          for (const path of INSIDE) {
            const answer = await raw(url, `GET ${path} ${head}`);
            expect([trick, path, answer.split('\r\n', 1)[0]]).toEqual([
              trick,
              path,
              expect.stringMatching(/^HTTP\/1\.[01] 404 /),
            ]);
            expect(answer).toContain('"not_found"');
          }
          expect(await raw(url, `GET /healthz ${head}`)).toMatch(/^HTTP\/1\.[01] 200 /);
        }
      }
    },
    60_000,
  );

  /** Requests that this proxy adds no header to, so that the server takes them for local ones. */
  const isTaken = (trick: string) =>
    name === 'haproxy' &&
    /^Host: (127\.0\.0\.1|localhost:8081)(\r\nX-Forwarded-Host.*|\r\nConnection.*)?$/.test(trick);

  test.skipIf(!has(name))(
    'without an internal port the request is refused, or docs/proxies.md warns about it',
    async () => {
      const server = await serve({ shutdownGraceMs: 0 });
      const url = await startProxy(name, 'simplest', { servers: [hostOf(server.url)] });
      for (const trick of TRICKS) {
        const head = `HTTP/1.1\r\n${trick}\r\nConnection: close\r\n\r\n`;
        const answer = await raw(url, `GET /v1/members ${head}`);
        const status = isTaken(trick) ? 200 : 403;
        expect([trick, answer.split(' ')[1]]).toEqual([trick, String(status)]);
      }
    },
  );
});
