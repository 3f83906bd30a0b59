/** Requests refused before SockJS, and the separation of its sessions (V11). */
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { SockjsOptions } from '../../src/transport/sockjs.js';
import { bytesInUse } from '../support/heap.js';
import { type Client, httpClient } from '../support/http-requests.js';
import { startTransports, type TransportServer } from '../support/transport-server.js';

let server: TransportServer;
let client: Client;

async function start(options: Partial<SockjsOptions> = {}): Promise<void> {
  await stop();
  server = await startTransports(options);
  client = httpClient(server.port);
}

async function stop(): Promise<void> {
  client?.close();
  await server?.close();
}

beforeEach(() => start());
afterEach(stop);

const code = (body: string) => (JSON.parse(body) as { code: string }).code;

describe('a session', () => {
  test('is bound to the transport it was opened with', async () => {
    await client.ask('POST', '/sockjs/000/one/xhr');
    const { status, body } = await client.ask('GET', '/sockjs/000/one/eventsource');
    expect([status, code(body)]).toEqual([404, 'not_found']);
  });

  test('belongs to any client that knows its id, from any address', async () => {
    await start({ address: (req) => String(req.headers['x-address']) });
    const from = (address: string, body = '') => ({ headers: { 'x-address': address }, body });
    await client.ask('POST', '/sockjs/000/one/xhr', from('192.0.2.1'));
    const session = await server.session();
    expect(session.transport.remoteAddress).toBe('192.0.2.1');
    const sent = await client.ask('POST', '/sockjs/000/one/xhr_send', from('192.0.2.2', '["x"]'));
    expect([sent.status, session.texts]).toEqual([204, ['x']]);
    const poll = client.ask('POST', '/sockjs/000/one/xhr', from('192.0.2.3'));
    await session.send('y');
    expect((await poll).body).toBe('a["y"]\n');
  });

  test('keeps nothing of the target of its first request but its id (V3)', async () => {
    const target = (n: number) => `/sockjs/000/a-session-of-many-${n}/xhr?${'j'.repeat(15_000)}`;
    await client.ask('POST', target(0));
    const before = await bytesInUse();
    for (let n = 1; n <= 200; n += 1)
      expect((await client.ask('POST', target(n))).body).toBe('o\n');
    const each = ((await bytesInUse()) - before) / 200;
    expect(each).toBeLessThan(10_000);
  });

  test('is hidden from an address that guesses ids', async () => {
    await start({ address: (req) => String(req.headers['x-address']) });
    const ask = (address: string, id: string, action = 'xhr_send') =>
      client.ask('POST', `/sockjs/000/${id}/${action}`, {
        headers: { 'x-address': address },
        body: '["x"]',
      });
    await ask('192.0.2.1', 'one', 'xhr');
    await ask('192.0.2.2', 'own', 'xhr');
    for (let i = 0; i < 32; i += 1) expect((await ask('192.0.2.2', `no-${i}`)).status).toBe(404);
    for (const action of ['xhr_send', 'xhr']) {
      expect((await ask('192.0.2.2', 'one', action)).status).toBe(404);
    }
    expect(server.sessions[0]?.texts).toEqual([]);
    // Its own session is still available to it, and the other's to everyone else.
    expect((await ask('192.0.2.2', 'own')).status).toBe(204);
    expect((await ask('192.0.2.3', 'one')).status).toBe(204);
  });

  test('that has ended is kept only until enough others have ended', async () => {
    const end = async (id: string) => {
      await client.ask('POST', `/sockjs/000/${id}/xhr`);
      const session = await server.session(server.sessions.length - 1);
      session.transport.close('over_capacity', Buffer.alloc(0), 1000);
      await client.ask('POST', `/sockjs/000/${id}/xhr`);
      await session.end();
    };
    await end('first');
    for (let count = 0; count < 255; count += 1) await end(`s${count}`);
    expect((await client.ask('POST', '/sockjs/000/first/xhr')).body).toMatch(/^c\[4100,/);
    await end('last');
    expect((await client.ask('POST', '/sockjs/000/first/xhr')).body).toBe('o\n');
    expect((await client.ask('POST', '/sockjs/000/s0/xhr')).body).toMatch(/^c\[4100,/);
  });

  test('belongs to one server, although the library has one map per process', async () => {
    const other = await startTransports();
    const otherClient = httpClient(other.port);
    await client.ask('POST', '/sockjs/000/same/xhr');
    expect((await otherClient.ask('POST', '/sockjs/000/same/xhr')).body).toBe('o\n');
    await otherClient.ask('POST', '/sockjs/000/same/xhr_send', { body: '["there"]' });
    expect(other.sessions[0]?.texts).toEqual(['there']);
    expect(server.sessions[0]?.texts).toEqual([]);
    otherClient.close();
    await other.close();
  });

  test('logs nothing about itself', async () => {
    const log = vi.spyOn(console, 'log');
    await client.ask('POST', '/sockjs/000/secret/xhr');
    await client.ask('POST', '/sockjs/000/secret/xhr_send', { body: '[' });
    await client.ask('PUT', '/sockjs/000/secret/xhr');
    expect(log).not.toHaveBeenCalled();
  });
});

describe('a body', () => {
  const SEND = '/sockjs/000/one/xhr_send';
  const chunked = { 'transfer-encoding': 'chunked' };
  beforeEach(async () => {
    await start({ maxBodyBytes: 1000 });
    await client.ask('POST', '/sockjs/000/one/xhr');
  });

  test.each([{}, chunked])('may have the maximum size (%j)', async (headers) => {
    const text = 'x'.repeat(996);
    const answer = await client.ask('POST', SEND, { body: `["${text}"]`, headers });
    expect([answer.status, server.sessions[0]?.texts]).toEqual([204, [text]]);
  });

  test.each([{}, chunked])('and not one byte longer (%j)', async (headers) => {
    const body = `["${'x'.repeat(997)}"]`;
    const answer = await client.ask('POST', SEND, { body, headers });
    expect([answer.status, code(answer.body)]).toEqual([413, 'message_too_big']);
    expect(answer.body).toContain('1000 bytes');
    expect([server.refused, server.sessions[0]?.texts]).toEqual([['message_too_big'], []]);
  });

  test.each([{}, chunked])(
    'of 20 MB is refused, and the connection stays usable (%j)',
    async (headers) => {
      const body = Buffer.alloc(20_000_000, 'x');
      body.write('["');
      expect((await client.ask('POST', SEND, { body, headers })).status).toBe(413);
      expect((await client.ask('POST', SEND, { body: '["x"]' })).status).toBe(204);
      expect(server.sessions[0]?.texts).toEqual(['x']);
    },
  );

  test.each([
    ['its length is known', { 'content-length': '20000000' }, ''],
    ['it has got too long', chunked, `["${'x'.repeat(1000)}`],
  ])('is refused as soon as %s', async (_when, headers, part) => {
    const port = server.port;
    const req = request({ port, host: '127.0.0.1', method: 'POST', path: SEND, headers });
    const answered = once(req, 'response');
    req.flushHeaders();
    req.write(part);
    const [res] = (await answered) as [IncomingMessage];
    expect(res.statusCode).toBe(413);
    req.destroy();
  });

  test('may arrive byte by byte', async () => {
    const port = server.port;
    const req = request({ port, host: '127.0.0.1', method: 'POST', path: SEND, headers: chunked });
    const answered = once(req, 'response');
    req.setNoDelay();
    for (const byte of Buffer.from(`["${'漢'.repeat(300)}"]`)) req.write(Buffer.of(byte));
    req.end();
    const [res] = (await answered) as [IncomingMessage];
    res.resume();
    expect([res.statusCode, server.sessions[0]?.texts]).toEqual([204, ['漢'.repeat(300)]]);
  });

  test('is checked before the session', async () => {
    const body = 'x'.repeat(1001);
    expect((await client.ask('POST', '/sockjs/000/none/xhr_send', { body })).status).toBe(413);
    expect((await client.ask('POST', '/sockjs/000/two/xhr', { body })).status).toBe(413);
    expect(server.sessions).toHaveLength(1);
  });

  test('of a poll or stream request is discarded', async () => {
    const stream = await client.open('POST', '/sockjs/000/two/xhr_streaming', {
      body: Buffer.alloc(5_000_000),
      headers: chunked,
    });
    const session = await server.session(1);
    await session.send('here');
    await stream.until('here');
    stream.abort();
    await session.end();
  });
});

describe('origins', () => {
  const origins = ['https://app.example', 'null'];
  const PATHS = [
    ['GET', ''],
    ['GET', '/info'],
    ['OPTIONS', '/info'],
    ['POST', '/000/one/xhr'],
    ['OPTIONS', '/000/one/xhr'],
    ['POST', '/000/one/xhr_send'],
    ['POST', '/000/one/xhr_streaming'],
    ['GET', '/000/one/eventsource'],
    ['GET', '/000/one/jsonp'],
  ] as const;

  test.each(PATHS)('%s %s refuses any other', async (method, path) => {
    await start({ origins });
    for (const origin of [
      'https://evil.example',
      'https://app.example.evil',
      'http://app.example',
    ]) {
      const answer = await client.ask(method, `/sockjs${path}`, { headers: { origin } });
      expect([answer.status, code(answer.body)]).toEqual([403, 'forbidden']);
      expect(answer.headers['access-control-allow-origin']).toBeUndefined();
    }
    expect(server.sessions).toEqual([]);
  });

  test('accepts listed ones, and clients without one', async () => {
    await start({ origins });
    for (const [index, origin] of origins.entries()) {
      const path = `/sockjs/000/s${index}/xhr`;
      const answer = await client.ask('POST', path, { headers: { origin } });
      expect(answer.body).toBe('o\n');
      expect(answer.headers['access-control-allow-origin']).toBe(origin);
      expect(answer.headers.vary).toBe('Origin');
    }
    expect((await client.ask('POST', '/sockjs/000/none/xhr')).body).toBe('o\n');
  });
});

test('a closed server ends its sessions and refuses', async () => {
  await client.ask('POST', '/sockjs/000/one/xhr');
  const stream = await client.open('POST', '/sockjs/000/two/xhr_streaming');
  const poll = await server.session(0);
  const streaming = await server.session(1);
  server.sockjs.close();
  expect(await poll.end()).toBe('ended going_away');
  expect(await streaming.end()).toBe('ended going_away');
  expect(await stream.ended).toBe('aborted');
  for (const path of ['/000/one/xhr', '/000/new/xhr', '/000/one/xhr_send', '/info']) {
    const answer = await client.ask('POST', `/sockjs${path}`);
    expect([answer.status, code(answer.body)]).toEqual([503, 'shutting_down']);
  }
});
