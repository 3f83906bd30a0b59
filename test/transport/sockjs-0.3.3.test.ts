/**
 * SockJS protocol 0.3.3, case by case under the names of its document, on the real transports. Words and
 * code are our own: the document has no licence.
 *
 * Left out: jsonp, htmlfile and the iframe page, which are not served; `test_disabled_websocket` and
 * `JsessionidCookie`, options that this server does not have; the nonce of Hixie-76 (`test_haproxy`) and
 * version 7 of the handshake, which no browser has used since 2012. The other cases of the two WebSocket
 * classes are the same for every version and run in those of RFC 6455.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { SessionEcho } from '../support/echo.js';
import { type Client, httpClient } from '../support/http-requests.js';
import { startTransports, type TransportServer } from '../support/transport-server.js';

let echo: TransportServer;
let close: TransportServer;
let client: Client;
let closing: Client;
let count = 0;
/** The URL of a fresh session. */
let url = '';

beforeAll(async () => {
  echo = await startTransports({ responseLimitBytes: 4096 }, (each) => new SessionEcho(each));
  close = await startTransports({}, (each) => {
    queueMicrotask(() => each.close('going_away', Buffer.alloc(0), 10_000));
    return new SessionEcho(each);
  });
  client = httpClient(echo.port);
  closing = httpClient(close.port);
});
afterAll(async () => {
  client.close();
  closing.close();
  await echo.close();
  await close.close();
});
beforeEach(() => {
  count += 1;
  url = `/sockjs/000/session-${count}`;
});

type Answer = Awaited<ReturnType<Client['ask']>>;

const GO_AWAY = 'c[4200,"The server is shutting down."]';
const PRELUDE = `${'h'.repeat(2048)}\n`;
const post = (path: string, body = '', headers: Record<string, string> = {}) =>
  client.ask('POST', path, { body, headers });
const send = (texts: string) => post(`${url}/xhr_send`, texts);

function isNotCached({ headers }: Pick<Answer, 'headers'>): void {
  expect(headers['cache-control']?.split(/, */)).toEqual(
    expect.arrayContaining(['no-store', 'no-cache', 'must-revalidate', 'max-age=0']),
  );
  expect([headers.expires, headers['last-modified']]).toEqual([undefined, undefined]);
}

function isCors({ headers }: Pick<Answer, 'headers'>, origin?: string): void {
  expect(headers['access-control-allow-origin']).toBe(origin ?? '*');
  if (origin !== undefined) expect(headers['access-control-allow-credentials']).toBe('true');
}

function isType({ headers }: Pick<Answer, 'headers'>, type: string): void {
  expect(headers['content-type']?.replaceAll(' ', '')).toBe(type);
}

async function isPreflight(path: string, methods: string): Promise<void> {
  for (const origin of [undefined, 'http://test', 'null']) {
    const headers = origin === undefined ? {} : { origin };
    const answer = await client.ask('OPTIONS', path, { headers });
    expect([answer.status, answer.body]).toEqual([204, '']);
    expect(answer.headers['cache-control']).toMatch(/public.*max-age=[1-9]\d{6}/);
    expect(answer.headers.expires).toBeDefined();
    expect(Number(answer.headers['access-control-max-age'])).toBeGreaterThan(1_000_000);
    expect(answer.headers['access-control-allow-methods']).toBe(methods);
    isCors(answer, origin);
  }
}

/** A WebSocket and the texts it received. */
async function webSocket(port: number, path: string) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`);
  onTestFinished(() => socket.terminate());
  const frames: string[] = [];
  socket.on('message', (data) => frames.push(String(data)));
  const closed = once(socket, 'close').then(() => 'closed');
  await once(socket, 'open');
  const next = async () => {
    while (frames.length === 0) {
      const end = await Promise.race([once(socket, 'message').then(() => ''), closed]);
      if (end !== '' && frames.length === 0) return end;
    }
    return frames.shift();
  };
  return { next, say: (text: string) => socket.send(text), close: () => socket.close() };
}

describe('BaseUrlGreeting', () => {
  test.each(['/sockjs', '/sockjs/'])('test_greeting %s', async (path) => {
    const answer = await client.ask('GET', path);
    expect([answer.status, answer.body]).toEqual([200, 'Welcome to SockJS!\n']);
    isType(answer, 'text/plain;charset=UTF-8');
    expect(answer.headers['set-cookie']).toBeUndefined();
  });

  test.each(['/a', '/a.html', '//', '///', '/a/a', '/a/a/', '/a/'])(
    'test_notFound %s',
    async (path) => {
      expect((await client.ask('GET', `/sockjs${path}`)).status).toBe(404);
    },
  );
});

describe('InfoTest', () => {
  test('test_basic', async () => {
    const answer = await client.ask('GET', '/sockjs/info');
    expect(answer.status).toBe(200);
    isType(answer, 'application/json;charset=UTF-8');
    isNotCached(answer);
    isCors(answer);
    expect(answer.headers['set-cookie']).toBeUndefined();
    const info = JSON.parse(answer.body);
    expect(info).toMatchObject({ websocket: true, cookie_needed: false, origins: ['*:*'] });
    expect(Number.isInteger(info.entropy)).toBe(true);
  });

  test('test_entropy', async () => {
    const entropy = async () => JSON.parse((await client.ask('GET', '/sockjs/info')).body).entropy;
    expect(await entropy()).not.toBe(await entropy());
  });

  test('test_options', () => isPreflight('/sockjs/info', 'OPTIONS, GET'));

  // The document requires `*` for the origin `null`, which browsers refuse with credentials.
  test('test_options_null_origin', async () => {
    const answer = await client.ask('OPTIONS', '/sockjs/info', { headers: { origin: 'null' } });
    expect([answer.status, answer.body]).toEqual([204, '']);
    expect(['*', 'null']).toContain(answer.headers['access-control-allow-origin']);
  });
});

describe('SessionURLs', () => {
  test.each(['/a/a', '/_/_', '/1/1', '/abcdefgh_i-j%20/abcdefg_i-j%20'])(
    'test_anyValue %s',
    async (path) => {
      const answer = await post(`/sockjs${path}/xhr`);
      expect([answer.status, answer.body]).toEqual([200, 'o\n']);
    },
  );

  test.each(['//', '/a./a', '/a/a.', '/./.', '/', '///'])('test_invalidPaths %s', async (path) => {
    for (const method of ['GET', 'POST']) {
      expect((await client.ask(method, `/sockjs${path}/xhr`)).status).toBe(404);
    }
  });

  test('test_ignoringServerId', async () => {
    expect((await post(`${url}/xhr`)).body).toBe('o\n');
    const sent = await send('["a"]');
    expect([sent.status, sent.body]).toEqual([204, '']);
    const polled = await post(`${url.replace('000', '999')}/xhr`);
    expect([polled.status, polled.body]).toEqual([200, 'a["a"]\n']);
  });
});

describe('Protocol', () => {
  test('test_simpleSession', async () => {
    const opened = await post(`${url}/xhr`);
    expect([opened.status, opened.body]).toEqual([200, 'o\n']);
    expect((await send('["a"]')).status).toBe(204);
    expect((await post(`${url}/xhr`)).body).toBe('a["a"]\n');
    expect((await post('/sockjs/000/bad_session/xhr_send', '["a"]')).status).toBe(404);
    const first = post(`${url}/xhr`);
    const second = await post(`${url}/xhr`);
    expect([second.status, second.body]).toEqual([
      200,
      'c[2010,"Another connection still open"]\n',
    ]);
    await send('["b"]');
    expect((await first).body).toBe('a["b"]\n');
  });

  test('test_closeSession', async () => {
    const poll = async () => (await closing.ask('POST', `${url}/xhr`)).body;
    expect(await poll()).toMatch(/^o\n/);
    expect(await poll()).toBe(`${GO_AWAY}\n`);
    expect(await poll()).toBe(`${GO_AWAY}\n`);
  });
});

describe('WebsocketHttpErrors', () => {
  test('test_httpMethod', async () => {
    const { status, body } = await client.ask('GET', '/sockjs/0/0/websocket');
    expect(status).toBe(400);
    expect(JSON.parse(body).message).toContain('Can "Upgrade" only to "WebSocket".');
  });

  test('test_invalidConnectionHeader', async () => {
    const headers = { upgrade: 'WebSocket', connection: 'close' };
    const { status, body } = await client.ask('GET', '/sockjs/0/0/websocket', { headers });
    expect(status).toBe(400);
    expect(JSON.parse(body).message).toContain('"Connection" must be "Upgrade".');
  });

  test.each<Record<string, string>>([{ upgrade: 'WebSocket', connection: 'Upgrade' }, {}])(
    'test_invalidMethod %j',
    async (headers) => {
      for (const path of ['/sockjs/0/0/websocket', '/sockjs/websocket']) {
        const answer = await post(path, '', headers);
        expect([answer.status, answer.body]).toEqual([405, '']);
        expect(answer.headers['content-type']).toBeUndefined();
        expect(answer.headers.allow).toBe('GET');
      }
    },
  );
});

describe('WebsocketHixie76, WebsocketHybi10', () => {
  test('test_transport, test_empty_frame', async () => {
    const socket = await webSocket(echo.port, `${url}/websocket`);
    expect(await socket.next()).toBe('o');
    socket.say('');
    socket.say('["a"]');
    expect(await socket.next()).toBe('a["a"]');
  });

  test('test_close', async () => {
    const socket = await webSocket(close.port, `${url}/websocket`);
    expect(await socket.next()).toBe('o');
    expect(await socket.next()).toBe(GO_AWAY);
    expect(await socket.next()).toBe('closed');
  });

  test('test_reuseSessionId', async () => {
    const one = await webSocket(echo.port, `${url}/websocket`);
    const two = await webSocket(echo.port, `${url}/websocket`);
    expect([await one.next(), await two.next()]).toEqual(['o', 'o']);
    one.say('["a"]');
    expect(await one.next()).toBe('a["a"]');
    two.say('["b"]');
    expect(await two.next()).toBe('a["b"]');
    one.close();
    two.close();
    const again = await webSocket(echo.port, `${url}/websocket`);
    expect(await again.next()).toBe('o');
  });

  test('test_broken_json', async () => {
    const socket = await webSocket(echo.port, `${url}/websocket`);
    expect(await socket.next()).toBe('o');
    socket.say('["a');
    expect(await socket.next()).toMatch(/^(c\[|closed)/);
    expect(await socket.next()).toBe('closed');
  });

  test.each([
    ['test_headersSanity', '8', 'Upgrade'],
    ['test_headersSanity', '13', 'Upgrade'],
    ['test_firefox_602_connection_header', '8', 'keep-alive, Upgrade'],
  ])('%s, version %s', async (_, version, connection) => {
    const socket = connect(echo.port, '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    socket.write(
      `GET ${url}/websocket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: ${connection}\r\nSec-WebSocket-Version: ${version}\r\nSec-WebSocket-Origin: http://asd\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n`,
    );
    const [head] = await once(socket, 'data');
    const lines = String(head).toLowerCase().split('\r\n');
    expect(lines[0]).toBe('http/1.1 101 switching protocols');
    expect(lines).toContain('connection: upgrade');
    expect(lines).toContain('upgrade: websocket');
    expect(String(head)).toContain('Sec-WebSocket-Accept: HSmrc0sMlYUkAGmm5OPpG2HaGWk=');
    expect(lines.some((line) => line.startsWith('content-length'))).toBe(false);
  });
});

describe('XhrPolling', () => {
  test.each(['xhr', 'xhr_send'])('test_options %s', (action) =>
    isPreflight(`/sockjs/abc/abc/${action}`, 'OPTIONS, POST'),
  );

  test('test_transport', async () => {
    const opened = await post(`${url}/xhr`);
    expect([opened.status, opened.body]).toEqual([200, 'o\n']);
    isType(opened, 'application/javascript;charset=UTF-8');
    isCors(opened);
    isNotCached(opened);
    const sent = await send('["x"]');
    expect([sent.status, sent.body]).toEqual([204, '']);
    isType(sent, 'text/plain;charset=UTF-8');
    isCors(sent);
    isNotCached(sent);
    const polled = await post(`${url}/xhr`);
    expect([polled.status, polled.body]).toEqual([200, 'a["x"]\n']);
  });

  test('test_invalid_session', async () => {
    expect((await send('["x"]')).status).toBe(404);
  });

  test('test_invalid_json', async () => {
    await post(`${url}/xhr`);
    const broken = await send('["x');
    expect([broken.status, broken.body]).toEqual([
      500,
      expect.stringContaining('Broken JSON encoding.'),
    ]);
    const empty = await send('');
    expect([empty.status, empty.body]).toEqual([500, expect.stringContaining('Payload expected.')]);
    expect((await send('["a"]')).status).toBe(204);
    expect((await post(`${url}/xhr`)).body).toBe('a["a"]\n');
  });

  test('test_content_types', async () => {
    await post(`${url}/xhr`);
    const types = [
      ...['text/plain', 'T', 'application/json', 'application/xml', ''],
      ...['application/json; charset=utf-8', 'text/xml; charset=utf-8', 'text/xml'],
    ];
    for (const type of types) {
      const { status, body } = await post(`${url}/xhr_send`, '["a"]', { 'content-type': type });
      expect([status, body]).toEqual([204, '']);
    }
    expect((await post(`${url}/xhr`)).body).toBe(`a[${types.map(() => '"a"').join(',')}]\n`);
  });

  test.each([
    ['a, b, c', 'a, b, c'],
    ['', undefined],
    [undefined, undefined],
  ])('test_request_headers_cors %j', async (asked, allowed) => {
    const headers = asked === undefined ? {} : { 'access-control-request-headers': asked };
    const answer = await post(`${url}/xhr`, '', headers);
    expect(answer.status).toBe(200);
    isCors(answer);
    expect(answer.headers['access-control-allow-headers']).toBe(allowed);
  });
});

describe('XhrStreaming', () => {
  test('test_options', () => isPreflight('/sockjs/abc/abc/xhr_streaming', 'OPTIONS, POST'));

  test('test_transport', async () => {
    const stream = await client.open('POST', `${url}/xhr_streaming`);
    expect(stream.status).toBe(200);
    isType(stream, 'application/javascript;charset=UTF-8');
    isCors(stream);
    isNotCached(stream);
    await stream.until('o\n');
    expect(stream.text).toBe(`${PRELUDE}o\n`);
    expect((await send('["x"]')).status).toBe(204);
    await stream.until('"x"]\n');
    expect(stream.text).toBe(`${PRELUDE}o\na["x"]\n`);
    stream.abort();
  });

  test('test_response_limit', async () => {
    const stream = await client.open('POST', `${url}/xhr_streaming`);
    const text = `"${'x'.repeat(128)}"`;
    for (let i = 1; i <= 31; i += 1) {
      expect((await send(`[${text}]`)).status).toBe(204);
      await stream.until(`${`a[${text}]\n`.repeat(i)}`);
    }
    expect(await stream.ended).toBe(`${PRELUDE}o\n${`a[${text}]\n`.repeat(31)}`);
  });
});

describe('EventSource', () => {
  test('test_transport', async () => {
    const stream = await client.open('GET', `${url}/eventsource`);
    expect(stream.status).toBe(200);
    // UTF-8 by definition; no charset is sent.
    expect(stream.headers['content-type']).toMatch(/^text\/event-stream/);
    isNotCached(stream);
    await stream.until('data: o\r\n\r\n');
    expect(stream.text).toBe('\r\ndata: o\r\n\r\n');
    expect((await send('["x"]')).status).toBe(204);
    await stream.until('data: a["x"]\r\n\r\n');
    expect((await send('["  \\u0000\\n\\r "]')).status).toBe(204);
    await stream.until('data: a["  \\u0000\\n\\r "]\r\n\r\n');
    expect(stream.text).toContain('data: a["  \\u0000\\n\\r "]\r\n\r\n');
    stream.abort();
  });

  test('test_response_limit', async () => {
    const stream = await client.open('GET', `${url}/eventsource`);
    const text = `"${'x'.repeat(4096)}"`;
    expect((await send(`[${text}]`)).status).toBe(204);
    expect(await stream.ended).toBe(`\r\ndata: o\r\n\r\ndata: a[${text}]\r\n\r\n`);
  });
});

describe('RawWebsocket', () => {
  test('test_transport', async () => {
    const socket = await webSocket(echo.port, '/sockjs/websocket');
    socket.say('Hello world!\uffff');
    expect(await socket.next()).toBe('Hello world!\uffff');
  });

  test('test_close', async () => {
    const socket = await webSocket(close.port, '/sockjs/websocket');
    expect(await socket.next()).toBe('closed');
  });
});

describe('JSONEncoding', () => {
  /** Every character of a class, from `from` on. */
  const all = (pattern: RegExp, from: number) =>
    Array.from({ length: 0x10000 - from }, (_, i) => String.fromCharCode(from + i)).filter((char) =>
      pattern.test(char),
    );
  const escaped = (chars: string[]) =>
    chars.map((char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`).join('');

  test('test_xhr_server_encodes', async () => {
    const chars = all(/[\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\uffff]/, 255);
    await post(`${url}/xhr`);
    expect((await send(`["${chars.join('')}"]`)).status).toBe(204);
    expect((await post(`${url}/xhr`)).body).toBe(`a["${escaped(chars)}"]\n`);
  });

  test('test_xhr_server_decodes', async () => {
    const chars = all(
      /["\\\p{Cc}\xad\u0600-\u0604\u2000-\u20ff\ud800-\udfff\ufeff\ufff0-\uffff]/u,
      0,
    );
    await post(`${url}/xhr`);
    expect((await send(`["${escaped(chars)}"]`)).status).toBe(204);
    const { body } = await post(`${url}/xhr`);
    expect(JSON.parse(body.slice(1))).toEqual([chars.join('')]);
  });
});

describe('HandlingClose', () => {
  test('test_close_frame', async () => {
    const first = await closing.open('POST', `${url}/xhr_streaming`);
    expect(await first.ended).toBe(`${PRELUDE}o\n${GO_AWAY}\n`);
    const second = await closing.open('POST', `${url}/xhr_streaming`);
    expect(await second.ended).toBe(`${PRELUDE}${GO_AWAY}\n`);
  });

  test('test_close_request', async () => {
    const first = await client.open('POST', `${url}/xhr_streaming`);
    await first.until('o\n');
    const second = await client.open('POST', `${url}/xhr_streaming`);
    expect(await second.ended).toBe(`${PRELUDE}c[2010,"Another connection still open"]\n`);
    first.abort();
  });

  test('test_abort_xhr_streaming', async () => {
    const first = await client.open('POST', `${url}/xhr_streaming`);
    await first.until('o\n');
    const second = await client.open('POST', `${url}/xhr_streaming`);
    expect(await second.ended).toContain('c[2010,');
    const ended = echoOf().over;
    first.abort();
    await ended;
    const third = await client.open('POST', `${url}/xhr_streaming`);
    await third.until('o\n');
    expect(third.text).toBe(`${PRELUDE}o\n`);
    third.abort();
  });

  test('test_abort_xhr_polling', async () => {
    expect((await post(`${url}/xhr`)).body).toBe('o\n');
    const waiting = connect(echo.port, '127.0.0.1');
    const session = echoOf();
    waiting.write(`POST ${url}/xhr HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`);
    await session.polled;
    expect((await post(`${url}/xhr`)).body).toContain('c[2010,');
    waiting.destroy();
    await session.over;
    expect((await post(`${url}/xhr`)).body).toBe('o\n');
  });

  /** The session opened last. */
  function echoOf(): SessionEcho {
    return SessionEcho.latest as SessionEcho;
  }
});

describe('Http10, Http11', () => {
  /** Everything received on one connection until the server ends it or `part` has arrived. */
  async function raw(port: number, text: string, part: string): Promise<string> {
    const socket = connect(port, '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    socket.write(text);
    let got = '';
    for await (const chunk of socket) {
      got += chunk;
      if (part !== '' && got.split(part).length > 2) break;
    }
    return got;
  }
  const greeting = (version: string) =>
    `GET /sockjs HTTP/${version}\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n`;

  test('Http10.test_synchronous', async () => {
    const answer = await raw(echo.port, greeting('1.0').repeat(2), 'Welcome to SockJS!\n');
    expect(answer.toLowerCase()).not.toContain('transfer-encoding');
    expect(answer).toMatch(
      /^HTTP\/1\.[01] 200 .*Connection: close.*\r\n\r\nWelcome to SockJS!\n$/s,
    );
  });

  test('Http10.test_streaming', async () => {
    const head = `POST ${url}/xhr_streaming HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n`;
    const answer = await raw(close.port, head, '');
    expect(answer.toLowerCase()).not.toMatch(/transfer-encoding|content-length/);
    expect(answer.split('\r\n\r\n')[1]).toBe(`${PRELUDE}o\n${GO_AWAY}\n`);
  });

  test('Http11.test_synchronous', async () => {
    const answer = await raw(echo.port, greeting('1.1').repeat(2), 'Welcome to SockJS!\n');
    expect(answer.match(/HTTP\/1\.1 200/g)).toHaveLength(2);
    expect(answer).toMatch(/content-length: 19|transfer-encoding: chunked/i);
  });

  test('Http11.test_streaming', async () => {
    const stream = await closing.open('POST', `${url}/xhr_streaming`);
    expect(stream.headers['transfer-encoding']).toBe('chunked');
    expect(stream.headers['content-length']).toBeUndefined();
    expect(await stream.ended).toBe(`${PRELUDE}o\n${GO_AWAY}\n`);
  });
});
