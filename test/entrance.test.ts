/** HTTP from other clients: targets, methods, Host and Upgrade headers in every form. */
import { connect } from 'node:net';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { serve } from './support/server.js';

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Sends these bytes on a connection of their own and reads the first answer. */
function raw(url: string, text: string): Promise<Answer> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => socket.write(text, 'latin1'));
    onTestFinished(() => void socket.destroy());
    let got = '';
    const read = () => {
      const [head = '', body = ''] = got.split('\r\n\r\n');
      const [first = '', ...lines] = head.split('\r\n');
      const headers = Object.fromEntries(
        lines.map((line) => [
          line.slice(0, line.indexOf(':')).toLowerCase(),
          line.slice(line.indexOf(':') + 2),
        ]),
      );
      return { status: Number(first.slice(9, 12)), headers, body };
    };
    socket.on('data', (chunk) => {
      got += chunk;
      const { status, headers, body } = read();
      const isWhole = body.length >= Number(headers['content-length'] ?? 0);
      if (got.includes('\r\n\r\n') && (status === 101 || isWhole)) {
        socket.destroy();
        resolve(read());
      }
    });
    socket.on('close', () => resolve(read()));
    socket.on('error', reject);
  });
}

const H = 'Host: localhost\r\n';
const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
const codeOf = ({ body }: Answer) => (JSON.parse(body) as { code: string }).code;

describe('an upgrade to anything but WebSocket is answered as a plain request', () => {
  test.each(['h2c', 'HTTP/2.0', 'TLS/1.2', 'websocket, h2c'])('%s', async (protocol) => {
    const { url } = await serve();
    const head = `${H}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: ${protocol}\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nContent-Type: application/json\r\n`;
    const publish = `POST /v1/rooms/x/messages HTTP/1.1\r\n${head}`;
    expect(await raw(url, `${publish}Content-Length: 10\r\n\r\n{"data":1}`)).toMatchObject({
      status: 200,
    });
    const chunked = `${publish}Transfer-Encoding: chunked\r\n\r\na\r\n{"data":1}\r\n0\r\n\r\n`;
    expect((await raw(url, chunked)).status).toBe(200);
    expect((await raw(url, `GET /healthz HTTP/1.1\r\n${head}\r\n`)).status).toBe(200);
    expect((await raw(url, `GET /nothing HTTP/1.1\r\n${head}\r\n`)).status).toBe(404);
    expect((await raw(url, `POST /sockjs/0/0/xhr HTTP/1.1\r\n${head}\r\n`)).status).toBe(200);
  });
});

describe('a WebSocket', () => {
  test.each([
    ['', /"Upgrade: websocket" and "Connection: Upgrade"/],
    ['Upgrade: websocket\r\n', /without "Connection: Upgrade"/],
    ['Upgrade: h2c\r\nConnection: Upgrade\r\n', /without "Upgrade: websocket"/],
  ])('requested with %j gets an error that names the missing header', async (head, message) => {
    const { url } = await serve();
    const answer = await raw(url, `GET /ws?x HTTP/1.1\r\n${H}${head}\r\n`);
    expect([answer.status, codeOf(answer)]).toEqual([426, 'upgrade_required']);
    expect(answer.headers).toMatchObject({ upgrade: 'websocket', connection: 'upgrade' });
    expect(JSON.parse(answer.body).message).toMatch(message);
    expect(await raw(url, `GET /ws HTTP/1.0\r\n${H}${head}\r\n`)).toMatchObject({ status: 426 });
  });

  test.each(['POST', 'HEAD', 'OPTIONS', 'DELETE'])(
    'is requested with GET, not with %s',
    async (method) => {
      const { url } = await serve();
      const answer = await raw(url, `${method} /ws HTTP/1.1\r\n${H}${UPGRADE}\r\n`);
      expect([answer.status, answer.headers['allow']]).toEqual([405, 'GET']);
    },
  );

  test.each([
    '/ws',
    '/ws?a=/b',
    '/%77s',
    'http://localhost/ws',
    '/sockjs/websocket',
    '/sockjs/0/%61/websocket',
  ])('is served at %s', async (target) => {
    const { url } = await serve();
    expect((await raw(url, `GET ${target} HTTP/1.1\r\n${H}${UPGRADE}\r\n`)).status).toBe(101);
  });

  test.each(['//ws', '/ws/', '/WS', '/ws%2f', '/nothing', '/sockjs/a.b/0/websocket'])(
    'is not served at %s',
    async (target) => {
      const { url } = await serve();
      const answer = await raw(url, `GET ${target} HTTP/1.1\r\n${H}${UPGRADE}\r\n`);
      expect([answer.status, codeOf(answer)]).toEqual([404, 'not_found']);
    },
  );
});

describe('a target', () => {
  test.each([
    'http://localhost/healthz',
    'HTTP://localhost:80/healthz?x#y',
    '/healthz?a=//b',
    '/he%61lthz',
    '/healthz#fragment',
  ])('%s is /healthz', async (target) => {
    const { url } = await serve();
    expect((await raw(url, `GET ${target} HTTP/1.1\r\n${H}\r\n`)).status).toBe(200);
  });

  test.each([
    '*',
    'healthz',
    'localhost:80',
    'ftp://localhost/healthz',
    '/v1/../healthz',
    '/./healthz',
    '/%2e%2E/healthz',
    '/%',
    '/%zz',
  ])('%s is rejected, in a request and in an upgrade', async (target) => {
    const { url } = await serve();
    for (const head of [H, `${H}${UPGRADE}`]) {
      expect((await raw(url, `GET ${target} HTTP/1.1\r\n${head}\r\n`)).status).toBe(400);
    }
  });

  test('in absolute form gives the host of the request', async () => {
    const { url } = await serve();
    const rooms = (target: string) => raw(url, `GET ${target} HTTP/1.1\r\n${H}\r\n`);
    expect((await rooms('http://localhost/v1/rooms')).status).toBe(200);
    expect((await rooms('http://evil.example/v1/rooms')).status).toBe(403);
  });
});

describe('Host', () => {
  test.each([
    ['two of them', `${H}Host: evil.example\r\n`],
    ['the same twice', `${H}${H}`],
    ['none', ''],
    ['a user', 'Host: localhost@evil.example\r\n'],
    ['a path', 'Host: localhost/evil\r\n'],
    ['a space', 'Host: local host\r\n'],
    ['half a bracket', 'Host: [::1\r\n'],
    ['no port', 'Host: localhost:x\r\n'],
  ])('with %s is refused, in a request and in an upgrade', async (_, head) => {
    const { url } = await serve();
    for (const target of ['/v1/rooms', '/sockjs/info', '/healthz']) {
      const answer = await raw(url, `GET ${target} HTTP/1.1\r\n${head}\r\n`);
      expect([answer.status, codeOf(answer)]).toEqual([400, 'bad_command']);
    }
    const upgrade = await raw(url, `GET /ws HTTP/1.1\r\n${head}${UPGRADE}\r\n`);
    expect([upgrade.status, codeOf(upgrade)]).toEqual([400, 'bad_command']);
  });

  test('is not required in HTTP/1.0', async () => {
    const { url } = await serve();
    expect((await raw(url, 'GET /healthz HTTP/1.0\r\n\r\n')).status).toBe(200);
    expect((await raw(url, 'GET /v1/rooms HTTP/1.0\r\n\r\n')).status).toBe(403);
  });
});

describe('a method', () => {
  test.each([
    ['POST', '/healthz', 'GET, HEAD, OPTIONS'],
    ['PUT', '/v1/rooms/a', 'GET, HEAD, OPTIONS'],
    ['PURGE', '/metrics', 'GET, HEAD, OPTIONS'],
    ['GET', '/v1/messages', 'POST, OPTIONS'],
    ['PATCH', '/v1/members/x', 'GET, HEAD, DELETE, OPTIONS'],
    ['CONNECT', 'localhost:80', 'GET, HEAD, POST, DELETE, OPTIONS'],
  ])('%s %s is not allowed', async (method, target, allow) => {
    const { url } = await serve();
    const answer = await raw(url, `${method} ${target} HTTP/1.1\r\n${H}\r\n`);
    expect([answer.status, codeOf(answer)]).toEqual([405, 'method_not_allowed']);
    expect(answer.headers['allow']?.split(', ').sort()).toEqual(allow.split(', ').sort());
  });

  test.each(['/healthz', '*'])('OPTIONS %s lists the allowed methods', async (target) => {
    const { url } = await serve();
    const { status, headers } = await raw(url, `OPTIONS ${target} HTTP/1.1\r\n${H}\r\n`);
    expect([status, headers['allow']]).toEqual([204, expect.stringContaining('GET')]);
    expect(headers['access-control-allow-origin']).toBeUndefined();
  });

  test('HEAD is GET without a body', async () => {
    const { url } = await serve();
    const { status, headers, body } = await raw(
      url,
      `HEAD /healthz HTTP/1.1\r\n${H}Connection: close\r\n\r\n`,
    );
    expect([status, headers['content-length'], body]).toEqual([200, '18', '']);
  });
});

test('any target gets a valid answer, and the server survives', async () => {
  const { url } = await serve();
  const part = fc.constantFrom(
    '/',
    '//',
    '.',
    '..',
    '%2e',
    '%2F',
    '%',
    'ws',
    'v1',
    'sockjs',
    '?',
    '#',
    '*',
    ':',
    '@',
    'http:',
    '\xe9',
    'info',
    'rooms',
  );
  const method = fc.constantFrom('GET', 'POST', 'OPTIONS', 'HEAD', 'DELETE', 'PROPFIND');
  await fc.assert(
    fc.asyncProperty(
      method,
      fc.array(part, { minLength: 1, maxLength: 8 }),
      fc.boolean(),
      async (verb, parts, isUpgrade) => {
        const head = `${H}Connection: close\r\n${isUpgrade ? UPGRADE : ''}`;
        const { status } = await raw(url, `${verb} ${parts.join('')} HTTP/1.1\r\n${head}\r\n`);
        expect([101, 200, 204, 400, 401, 403, 404, 405, 426, 500]).toContain(status);
      },
    ),
    { numRuns: 200 },
  );
  const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`);
  await new Promise((resolve) => socket.once('open', resolve));
  socket.terminate();
});
