import { timingSafeEqual } from 'node:crypto';
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Refusal } from '../../src/errors.js';
import { createGuard } from '../../src/http/guard.js';
import { type Config, defaults } from '../../src/options/config.js';
import { type Served, serve } from './support.js';

vi.mock(import('node:crypto'), async (original) => {
  const crypto = await original();
  return { ...crypto, timingSafeEqual: vi.fn(crypto.timingSafeEqual) };
});

/** `null`, or the code and message of the refusal. */
function judge(options: Partial<Config>, address: string, headers: Record<string, string> = {}) {
  const socket = Object.defineProperty(new Socket(), 'remoteAddress', { value: address });
  const request = new IncomingMessage(socket);
  Object.assign(request.headers, { host: 'localhost:8080', ...headers });
  const guard = createGuard({ ...defaults, ...options });
  try {
    guard(request);
    // Again on the same connection: a result that depends on headers is not cached.
    guard(request);
    return null;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return `${error.code}: ${error.message}`;
  }
}

describe('without an API key', () => {
  it.each(['127.0.0.1', '127.8.9.10', '::1', '::ffff:127.0.0.1'])('answers %s', (address) => {
    expect(judge({}, address)).toBeNull();
  });

  it.each(['10.0.0.1', '::ffff:10.0.0.1', '2001:db8::1', '1127.0.0.1', ''])(
    'refuses %j, and says why',
    (address) => {
      expect(judge({}, address)).toMatch(/^forbidden: No API key is set.*--api-key/);
    },
  );

  it.each(['localhost', 'LOCALHOST:80', '127.0.0.1:8080', '[::1]', '[::1]:8080'])(
    'answers the host %s',
    (host) => expect(judge({}, '127.0.0.1', { host })).toBeNull(),
  );

  it.each(['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example:8080', '0.0.0.0', ''])(
    'refuses the host %j, which a page may use for DNS rebinding',
    (host) => expect(judge({}, '127.0.0.1', { host })).toMatch(/^forbidden: .*Host header/),
  );

  it.each(['x-forwarded-for', 'forwarded', 'x-real-ip', 'via'])(
    'refuses requests with the proxy header %s, whatever address it names',
    (header) => {
      for (const address of ['127.0.0.1', '::ffff:127.0.0.1']) {
        expect(judge({}, address, { [header]: '127.0.0.1' })).toMatch(/^forbidden: .*proxy/);
        expect(judge({}, address, { [header]: '' })).toMatch(/^forbidden: .*proxy/);
      }
    },
  );

  it.each([
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'cross-site', origin: 'http://localhost:8080' },
    { origin: 'http://evil.example' },
    { origin: 'http://localhost:3000' },
    { origin: 'null' },
  ])('refuses a page of another site: %j', (headers) => {
    expect(judge({}, '127.0.0.1', headers)).toMatch(/^forbidden: .*another site/);
  });

  it.each([
    { 'sec-fetch-site': 'same-origin' },
    { 'sec-fetch-site': 'none' },
    { 'sec-fetch-site': 'same-origin', origin: 'http://localhost:8080' },
    { origin: 'http://localhost:8080' },
  ])('answers its own page and typed addresses: %j', (headers) => {
    expect(judge({}, '127.0.0.1', headers)).toBeNull();
  });

  it('uses the forwarded address of a trusted proxy only', () => {
    const trustProxy = ['10.0.0.0/8'];
    const from = (address: string, name: string, value: string) =>
      judge({ trustProxy }, address, { [name]: value });
    expect(from('10.1.2.3', 'x-forwarded-for', '127.0.0.1')).toBeNull();
    expect(from('10.1.2.3', 'x-forwarded-for', '127.0.0.1, 203.0.113.5')).toMatch(/203\.0\.113\.5/);
    expect(from('10.1.2.3', 'x-forwarded-for', 'nonsense')).toMatch(/^forbidden/);
    expect(from('10.1.2.3', 'forwarded', 'for=127.0.0.1')).toBeNull();
    expect(from('10.1.2.3', 'forwarded', 'for=203.0.113.5')).toMatch(/203\.0\.113\.5/);
    expect(from('127.0.0.1', 'x-forwarded-for', '127.0.0.1')).toMatch(/^forbidden/);
  });

  it('checks the headers of each request on a connection from this machine', () => {
    const guard = createGuard(defaults);
    const socket = Object.defineProperty(new Socket(), 'remoteAddress', { value: '127.0.0.1' });
    const ask = (headers: Record<string, string>) => {
      const request = new IncomingMessage(socket);
      Object.assign(request.headers, headers);
      return () => guard(request);
    };
    expect(ask({ host: 'localhost' })).not.toThrow();
    expect(ask({ host: 'evil.example' })).toThrow(Refusal);
    expect(ask({ host: 'localhost', 'x-forwarded-for': '203.0.113.5' })).toThrow(Refusal);
  });
});

describe('with API keys', () => {
  const apiKey = ['first-key', 'second-key'];

  it.each(['Bearer first-key', 'Bearer second-key', 'bearer  first-key'])(
    'accepts %j, from any address and for any host',
    (authorization) => {
      expect(judge({ apiKey }, '203.0.113.5', { authorization, host: 'example.com' })).toBeNull();
    },
  );

  it.each([
    'Bearer third-key',
    'Bearer first-ke',
    'Bearer first-key2',
    'Bearer first-key second-key',
    'Bearer',
    'Bearer ',
    'Basic first-key',
    'first-key',
    '',
  ])('refuses %j, even from this machine', (authorization) => {
    expect(judge({ apiKey }, '127.0.0.1', { authorization })).toMatch(/^unauthorised: /);
  });

  it('refuses a request without a key', () => {
    expect(judge({ apiKey }, '127.0.0.1')).toMatch(/^unauthorised: .*Authorization: Bearer/);
  });

  it('compares all keys in constant time and at equal length', () => {
    for (const token of ['first-key', 'second-key', 'wrong', 'x'.repeat(1000)]) {
      vi.mocked(timingSafeEqual).mockClear();
      judge({ apiKey: [...apiKey, 'third'] }, '127.0.0.1', { authorization: `Bearer ${token}` });
      const { calls } = vi.mocked(timingSafeEqual).mock;
      expect(calls.length % 3).toBe(0);
      expect(calls.length).toBeGreaterThan(0);
      for (const [a, b] of calls) expect([a.byteLength, b.byteLength]).toEqual([32, 32]);
    }
  });
});

describe('served', () => {
  let server: Served;
  afterEach(() => server.stop());

  const ROUTES = [
    ['POST', '/v1/rooms/a/messages'],
    ['GET', '/v1/rooms/a/messages'],
    ['DELETE', '/v1/rooms/a/messages'],
    ['POST', '/v1/messages'],
    ['GET', '/v1/rooms'],
    ['GET', '/v1/rooms/a'],
    ['GET', '/v1/members'],
    ['GET', '/v1/members/x'],
    ['DELETE', '/v1/members/x'],
    ['GET', '/v1/rooms/a/presence'],
    ['GET', '/v1/rooms/a/presence/x'],
    ['GET', '/v1/users/x'],
    ['DELETE', '/v1/users/x'],
    ['POST', '/v1/revocations'],
    ['GET', '/v1/revocations'],
    ['DELETE', '/v1/revocations/x'],
    ['GET', '/v1/locks'],
    ['GET', '/v1/profiles/cpu'],
    ['GET', '/v1/profiles/heap'],
    ['GET', '/metrics'],
  ] as const;
  const OPEN = ['/healthz', '/readyz', '/docs', '/v1/openapi.json'];

  it('guards every route of /v1 and the metrics, and leaves the others open', async () => {
    server = await serve({ apiKey: ['secret'] });
    const { paths } = (await server.ask('GET', '/v1/openapi.json')).body as {
      paths: Record<string, object>;
    };
    const documented = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    // The stream of /v1/live does not end; see test/http/live.test.ts.
    const guarded = documented.filter((route) => /\/v1\/(?!live)/.test(route));
    // /metrics has no such schema.
    expect(guarded).toHaveLength(ROUTES.length - 1);
    for (const [method, path] of ROUTES) {
      const answer = await server.ask(method, path);
      expect([path, answer.status, answer.body]).toMatchObject([
        path,
        401,
        { code: 'unauthorised' },
      ]);
      expect(answer.headers['www-authenticate']).toBe('Bearer');
      const headers = { authorization: 'Bearer secret' };
      expect((await server.ask(method, path, { headers })).status).not.toBe(401);
    }
    for (const path of OPEN) expect((await server.ask('GET', path)).status).toBe(200);
  });

  it('answers this machine without a key, but not rebound names or proxies', async () => {
    server = await serve();
    const room = await server.ask('GET', '/v1/rooms');
    expect(room.status).toBe(200);
    for (const headers of [{ host: 'evil.example' }, { 'x-forwarded-for': '127.0.0.1' }]) {
      const answer = await server.ask('GET', '/v1/rooms', { headers });
      expect([answer.status, answer.body]).toMatchObject([403, { code: 'forbidden' }]);
    }
  });

  it('refuses before it reads the body', async () => {
    server = await serve({ apiKey: ['secret'], maxHttpBodyBytes: 1024 });
    const answer = await server.ask('POST', '/v1/messages', { json: 'x'.repeat(2000) });
    expect(answer.status).toBe(401);
  });
});
