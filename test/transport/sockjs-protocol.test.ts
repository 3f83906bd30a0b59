/**
 * SockJS protocol 0.3 over HTTP, as a peer sees it. The protocol's own test suite is not vendored: it
 * has no licence.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { SockjsOptions } from '../../src/transport/sockjs.js';
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

const PRELUDE = `${'h'.repeat(2048)}\n`;
const code = (body: string) => (JSON.parse(body) as { code: string }).code;

describe('paths', () => {
  test.each(['/sockjs', '/sockjs/'])('%s greets', async (path) => {
    const { status, headers, body } = await client.ask('GET', path);
    expect([status, body]).toEqual([200, 'Welcome to SockJS!\n']);
    expect(headers['content-type']).toBe('text/plain; charset=UTF-8');
    expect(headers['set-cookie']).toBeUndefined();
  });

  test.each([
    ...['/a', '/a.html', '//', '///', '/a/', '/a/a', '/a/a/', '/0/0/xyz', '/0//xhr', '//0/xhr'],
    ...['/0/a.b/xhr', '/a.b/0/xhr', '/0/a\\b/xhr', '/0/0/xhr/more', '/0/__proto__', '/INFO'],
    ...[`/0/${'x'.repeat(65)}/xhr`, `/${'x'.repeat(65)}/0/xhr`],
    // The library serves it, for browsers no longer in use.
    ...['/0/0/jsonp', '/0/0/jsonp_send', '/0/0/htmlfile', '/iframe.html', '/iframe-1.2.html'],
    ...['/chunking_test'],
  ])('%s is not there', async (path) => {
    for (const method of ['GET', 'POST']) {
      const { status, body } = await client.ask(method, `/sockjs${path}`);
      expect([status, code(body)]).toEqual([404, 'not_found']);
    }
    expect(server.refused).toEqual(['not_found', 'not_found']);
    expect(server.sessions).toEqual([]);
  });

  test.each(['/sockjsx', '/', '/other/sockjs', '/sockj'])('%s is not served here', async (path) => {
    const { status, body } = await client.ask('GET', path);
    expect([status, body, server.refused]).toEqual([404, '', []]);
  });

  test.each(['/websocket', '/0/0/websocket'])('%s requires an upgrade', async (path) => {
    const { status, body } = await client.ask('GET', `/sockjs${path}`);
    expect([status, code(body)]).toEqual([400, 'upgrade_required']);
  });

  test.each([
    ['PUT', '/info', 'OPTIONS, GET'],
    ['GET', '/0/0/xhr', 'POST, OPTIONS'],
    ['GET', '/0/0/xhr_streaming', 'POST, OPTIONS'],
    ['GET', '/0/0/xhr_send', 'POST, OPTIONS'],
    ['POST', '/0/0/eventsource', 'GET'],
  ])('%s %s is not allowed', async (method, path, allow) => {
    const { status, headers, body } = await client.ask(method, `/sockjs${path}`);
    expect([status, headers.allow, body]).toEqual([405, allow, '']);
  });

  test('/info returns the options and a random number', async () => {
    const one = await client.ask('GET', '/sockjs/info?t=123');
    const two = await client.ask('GET', '/sockjs/info');
    expect(one.status).toBe(200);
    expect(one.headers['content-type']).toBe('application/json; charset=UTF-8');
    expect(one.headers['cache-control']).toContain('no-store');
    const { entropy, ...info } = JSON.parse(one.body);
    expect(info).toEqual({ websocket: true, origins: ['*:*'], cookie_needed: false });
    expect(entropy).not.toBe(JSON.parse(two.body).entropy);
  });

  test.each([
    ['/info', 'OPTIONS, GET'],
    ['/0/0/xhr', 'OPTIONS, POST'],
    ['/0/0/xhr_send', 'OPTIONS, POST'],
    ['/0/0/xhr_streaming', 'OPTIONS, POST'],
  ])('%s answers a preflight, which may be kept', async (path, methods) => {
    const { status, headers, body } = await client.ask('OPTIONS', `/sockjs${path}`, {
      headers: { origin: 'https://app.example', 'access-control-request-headers': 'x-one, x-two' },
    });
    expect([status, body]).toEqual([204, '']);
    expect(headers).toMatchObject({
      'access-control-allow-methods': methods,
      'access-control-allow-origin': 'https://app.example',
      'access-control-allow-credentials': 'true',
      'access-control-allow-headers': 'x-one, x-two',
      'access-control-max-age': '31536000',
      'cache-control': 'public, max-age=31536000',
    });
    expect(server.sessions).toEqual([]);
  });
});

describe('xhr-polling', () => {
  test('one poll each: opening, messages, the next', async () => {
    const opening = await client.ask('POST', '/sockjs/000/one/xhr');
    expect([opening.status, opening.body]).toEqual([200, 'o\n']);
    expect(opening.headers).toMatchObject({
      'content-type': 'application/javascript; charset=UTF-8',
      'access-control-allow-origin': '*',
      'cache-control': 'no-store, no-cache, no-transform, must-revalidate, max-age=0',
    });
    const session = await server.session();
    expect(session.transport.writable).toBe(false);
    const poll = client.ask('POST', '/sockjs/000/one/xhr');
    await session.send('hello', 'again');
    expect((await poll).body).toBe('a["hello","again"]\n');
    expect(session.transport.writable).toBe(false);
    const next = client.ask('POST', '/sockjs/000/one/xhr');
    await session.send('third');
    expect((await next).body).toBe('a["third"]\n');
    expect(session.events).toEqual(['ready', 'completed', 'ready', 'completed']);
  });

  test('the server part of a path does not matter', async () => {
    await client.ask('POST', '/sockjs/000/one/xhr');
    const { status } = await client.ask('POST', '/sockjs/999/one/xhr_send', { body: '["x"]' });
    expect([status, server.sessions[0]?.texts]).toEqual([204, ['x']]);
  });

  test.each(['abc', 'A_b-9', 'a%20b', '~'])('a session may be called %s', async (id) => {
    expect((await client.ask('POST', `/sockjs/${id}/${id}/xhr`)).body).toBe('o\n');
  });
});

describe('xhr-streaming', () => {
  test('a long first line, the opening, a line each batch', async () => {
    const stream = await client.open('POST', '/sockjs/000/one/xhr_streaming');
    expect(stream.status).toBe(200);
    expect(stream.headers['content-type']).toBe('application/javascript; charset=UTF-8');
    const session = await server.session();
    await session.send('one');
    await session.send('two', 'three');
    await stream.until('three');
    expect(stream.text).toBe(`${PRELUDE}o\na["one"]\na["two","three"]\n`);
  });

  test('ends at the response limit and continues in the next', async () => {
    await start({ responseLimitBytes: 100 });
    const stream = await client.open('POST', '/sockjs/000/one/xhr_streaming');
    const session = await server.session();
    await session.send('x'.repeat(60));
    expect(session.transport.writable).toBe(true);
    await session.send('y'.repeat(60));
    expect(session.transport.writable).toBe(false);
    expect(await stream.ended).toContain(`"${'y'.repeat(60)}"]\n`);
    const next = await client.open('POST', '/sockjs/000/one/xhr_streaming');
    await session.send('z');
    await next.until('"z"');
    expect(next.text).toBe(`${PRELUDE}a["z"]\n`);
  });
});

describe('eventsource', () => {
  test('an empty line, the opening, an event each batch', async () => {
    const stream = await client.open('GET', '/sockjs/000/one/eventsource');
    expect(stream.status).toBe(200);
    expect(stream.headers['content-type']).toBe('text/event-stream');
    const session = await server.session();
    await session.send('one', 'two');
    await session.send('line\r\nbreak');
    await stream.until('break');
    expect(stream.text).toBe(
      '\r\ndata: o\r\n\r\ndata: a["one","two"]\r\n\r\ndata: a["line\\r\\nbreak"]\r\n\r\n',
    );
  });

  test('it contains nothing that a client would decode', async () => {
    const stream = await client.open('GET', '/sockjs/000/one/eventsource');
    const session = await server.session();
    await session.send('100 % of %41');
    await stream.until(' of ');
    expect(stream.text).not.toContain('%');
  });
});

describe('a session', () => {
  const RECEIVERS = [
    ['POST', 'xhr_streaming', `${PRELUDE}o\n`, `${PRELUDE}c[4100`],
    ['GET', 'eventsource', '\r\ndata: o\r\n\r\n', '\r\ndata: c[4100'],
  ] as const;

  test.each(RECEIVERS)(
    '%s %s: a second open response is refused',
    async (method, action, opening) => {
      const path = `/sockjs/000/one/${action}`;
      const first = await client.open(method, path);
      const session = await server.session();
      const second = await client.ask(method, path);
      expect(second.body).toContain('c[2010,"Another connection still open"]');
      await session.send('to the first');
      await first.until('to the first');
      expect(first.text.startsWith(opening)).toBe(true);
      expect(session.count('ended lost')).toBe(0);
    },
  );

  test('xhr-polling: a second open poll is refused', async () => {
    await client.ask('POST', '/sockjs/000/one/xhr');
    const session = await server.session();
    const first = client.ask('POST', '/sockjs/000/one/xhr');
    await session.until(() => session.transport.writable);
    const second = await client.ask('POST', '/sockjs/000/one/xhr');
    expect(second.body).toBe('c[2010,"Another connection still open"]\n');
    await session.send('to the first');
    expect((await first).body).toBe('a["to the first"]\n');
  });

  test.each(RECEIVERS)(
    '%s %s: ends when the peer disconnects, and its id is free',
    async (method, action, opening) => {
      const path = `/sockjs/000/one/${action}`;
      (await client.open(method, path)).abort();
      expect(await (await server.session(0)).end()).toBe('ended client');
      const again = await client.open(method, path);
      await again.until('o');
      await server.session(1);
      expect(again.text).toBe(opening);
    },
  );

  test.each(RECEIVERS)(
    '%s %s: a request after a close gets the close frame again',
    async (method, action, opening, close) => {
      const path = `/sockjs/000/one/${action}`;
      const stream = await client.open(method, path);
      const session = await server.session();
      session.transport.close('over_capacity', session.batch('goodbye'), 1000);
      const body = await stream.ended;
      expect(body.startsWith(opening)).toBe(true);
      expect(body).toMatch(/a\["goodbye"\]\r?\n(\r\n)?(data: )?c\[4100,"The server has reached/);
      expect(await session.end()).toBe('ended over_capacity');
      for (let time = 0; time < 2; time += 1) {
        expect((await client.ask(method, path)).body.startsWith(close)).toBe(true);
      }
      const send = await client.ask('POST', '/sockjs/000/one/xhr_send', { body: '["late"]' });
      expect([send.status, session.texts, server.sessions.length]).toEqual([204, [], 1]);
    },
  );

  test('xhr-polling: farewell and close frame wait for the next poll', async () => {
    await client.ask('POST', '/sockjs/000/one/xhr');
    const session = await server.session();
    session.transport.close('slow_consumer', session.batch('goodbye'), 10_000);
    const told = 'c[4101,"The client did not read messages for too long."]\n';
    expect((await client.ask('POST', '/sockjs/000/one/xhr')).body).toBe(`a["goodbye"]\n${told}`);
    expect(await session.end()).toBe('ended slow_consumer');
    expect((await client.ask('POST', '/sockjs/000/one/xhr')).body).toBe(told);
  });
});

describe('xhr_send', () => {
  const SEND = '/sockjs/000/one/xhr_send';
  beforeEach(async () => {
    await client.ask('POST', '/sockjs/000/one/xhr');
  });
  const texts = () => server.sessions[0]?.texts;

  test('hands over messages in order', async () => {
    const answer = await client.ask('POST', SEND, {
      body: '["a","",  "\\u2028 \\ud800 %41"]',
      headers: { origin: 'https://app.example' },
    });
    expect([answer.status, answer.body]).toEqual([204, '']);
    expect(answer.headers).toMatchObject({
      'content-type': 'text/plain; charset=UTF-8',
      'access-control-allow-origin': 'https://app.example',
      'access-control-allow-credentials': 'true',
    });
    expect(texts()).toEqual(['a', '', '\u2028 \ud800 %41']);
    expect(server.sessions[0]?.bytes).toEqual([1, 0, 11]);
  });

  test('an empty list is allowed', async () => {
    expect((await client.ask('POST', SEND, { body: '[]' })).status).toBe(204);
  });

  test.each(['text/plain', 'application/json; charset=utf-8', 'T', 'text/xml', 'whatever/else'])(
    'takes a body of type %s',
    async (type) => {
      const headers = { 'content-type': type };
      expect((await client.ask('POST', SEND, { body: '["x"]', headers })).status).toBe(204);
      expect(texts()).toEqual(['x']);
    },
  );

  test.each([
    ['', 'bad_json', 'Payload expected.'],
    ['["x', 'bad_json', 'Broken JSON encoding.'],
    [Buffer.from('["\xff"]', 'latin1'), 'bad_json', 'Broken JSON encoding.'],
    ['[x]', 'bad_json', 'Broken JSON encoding.'],
    ['[,]', 'bad_json', 'Broken JSON encoding.'],
    ['{}', 'bad_command', 'Payload expected.'],
    ['"x"', 'bad_command', 'Payload expected.'],
    ['null', 'bad_command', 'Payload expected.'],
  ])('answers 500 to the body %j, and the session lives', async (body, wanted, message) => {
    const answer = await client.ask('POST', SEND, { body });
    expect(answer.status).toBe(500);
    expect(JSON.parse(answer.body)).toEqual({ code: wanted, message });
    expect(server.refused).toEqual([wanted]);
    await client.ask('POST', SEND, { body: '["alive"]' });
    expect(texts()).toEqual(['alive']);
  });

  test.each([
    '[1]',
    '[null]',
    '["a",{"b":1},"c"]',
    '[["a"]]',
    '['.repeat(65_536),
    `[${'['.repeat(9999)}${']'.repeat(9999)}]`,
  ])('anything but strings is a fault: %.20s', async (body) => {
    const answer = await client.ask('POST', SEND, { body });
    expect(answer.status).toBe(204);
    expect(server.sessions[0]?.events.at(-1)).toBe('faulted protocol_error');
    expect(texts()).toEqual(body.startsWith('["a"') ? ['a'] : []);
    const poll = await client.ask('POST', '/sockjs/000/one/xhr');
    expect(poll.body).toMatch(/^c\[4013,/);
  });

  test('a missing session gets 404, without its body being read', async () => {
    const answer = await client.ask('POST', '/sockjs/000/none/xhr_send', { body: '["x"]' });
    expect([answer.status, code(answer.body)]).toEqual([404, 'not_found']);
  });
});
