/**
 * JWKS keys: a real TLS server on this machine, and virtual time. Requirements: an outage affects no token of a
 * known key and is never reported as a wrong token; peers cause one fetch per 30 s; a removed key is gone.
 */
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { createServer, globalAgent } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { Authenticator } from '../../src/auth/authenticator.js';
import { Recorder } from '../../src/metrics/recorder.js';
import { type Config, defaults } from '../../src/options/config.js';
import { checkToken, tokenOf } from '../support/tokens.js';

const folder = mkdtempSync(join(tmpdir(), 'jwks-'));
const pairs = new Map<string, { publicKey: KeyObject; privateKey: KeyObject }>();
for (const kid of ['one', 'two', 'three']) {
  pairs.set(kid, generateKeyPairSync('ec', { namedCurve: 'P-256' }));
}

let url: string;
let asked = 0;
let answer: RequestListener;
const server = (key: Buffer, cert: Buffer) =>
  createServer({ key, cert }, (request, response) => {
    asked += 1;
    answer(request, response);
  });
let running: ReturnType<typeof server>;

const jwk = (kid: string) => ({ ...pairs.get(kid)?.publicKey.export({ format: 'jwk' }), kid });
const json =
  (body: unknown, status = 200): RequestListener =>
  (_, response) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
const keys = (...kids: string[]) => json({ keys: kids.map(jwk) });
const hang: RequestListener = () => {};

beforeAll(async () => {
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const files = ['-keyout', key, '-out', cert];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  const args = [
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-days',
    '2',
    ...files,
    ...subject,
  ];
  execFileSync('openssl', args, { stdio: 'ignore' });
  running = server(readFileSync(key), readFileSync(cert));
  globalAgent.options.ca = readFileSync(cert);
  running.listen(0, '127.0.0.1');
  await once(running, 'listening');
  url = `https://localhost:${(running.address() as AddressInfo).port}/keys`;
});

afterAll(() => {
  running.closeAllConnections();
  running.close();
  rmSync(folder, { recursive: true });
});

let auth: Authenticator;
const results: boolean[] = [];
const log = vi.fn<(fields: object, text: string) => void>();

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  asked = 0;
  results.length = 0;
  log.mockClear();
  answer = keys('one');
});

afterEach(async () => {
  auth.close();
  await new Promise((resolve) => setImmediate(resolve));
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

/** Waits in real time: the network does not follow the virtual clock. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}
const looked = (count: number) => until(() => results.length >= count);

function start(config: Partial<Config> = {}): void {
  const all = { ...defaults, jwksUrl: url, tokenAudience: ['us'], ...config };
  const observer = new Recorder();
  observer.keysFetched = (isOk) => void results.push(isOk);
  auth = new Authenticator(all, { info: log, warn: log, error: log }, observer);
}

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
function tokenBy(kid: string, header: object = { kid }): string {
  const exp = Math.floor(Date.now() / 1000) + 600;
  const text = `${part({ alg: 'ES256', ...header })}.${part({ sub: kid, aud: 'us', exp })}`;
  const key = pairs.get(kid)?.privateKey as KeyObject;
  const signature = sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' });
  return `${text}.${signature.toString('base64url')}`;
}

/** The user, or the code of the refusal. */
async function who(token: string): Promise<string> {
  try {
    return (await checkToken(auth, token)).user;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

describe('a JWKS', () => {
  it('is fetched at the start, and a token that arrives meanwhile waits for it', async () => {
    start();
    expect(auth.isReady).toBe(false);
    expect(await Promise.all([who(tokenBy('one')), who(tokenBy('one', {}))])).toEqual([
      'one',
      'one',
    ]);
    expect(auth.isReady).toBe(true);
    expect(asked).toBe(1);
  });

  it('is fetched again every jwksRefreshMs, plus or minus a tenth', async () => {
    start({ jwksRefreshMs: 100_000 });
    await looked(1);
    const before = performance.now();
    answer = keys('two');
    vi.advanceTimersToNextTimer();
    await looked(2);
    expect(Math.abs(performance.now() - before - 100_000)).toBeLessThanOrEqual(10_000);
    // The new set replaces the old one completely: the removed key is gone.
    expect(await who(tokenBy('two'))).toBe('two');
    vi.advanceTimersByTime(30_000);
    expect(await who(tokenBy('one'))).toBe('token_invalid');
  });

  it('is fetched at once for a token with an unknown key; no other token waits', async () => {
    start();
    await looked(1);
    vi.advanceTimersByTime(31_000);
    let go = () => {};
    answer = (request, response) => {
      go = () => keys('one', 'two')(request, response);
    };
    const waits = who(tokenBy('two'));
    await until(() => asked === 2);
    expect(await who(tokenBy('one'))).toBe('one');
    go();
    expect(await waits).toBe('two');
  });

  it('a token without kid is called wrong only after a later fetch (V16)', async () => {
    start();
    await looked(1);
    answer = keys('two');
    // It may have been published a moment ago: the token cannot be called wrong yet.
    expect(await who(tokenBy('two', {}))).toBe('keys_unavailable');
    expect(asked).toBe(1);
    vi.advanceTimersByTime(30_000);
    expect(await who(tokenBy('two', {}))).toBe('two');
    expect(asked).toBe(2);
    expect(await who(tokenBy('three', {}))).toBe('keys_unavailable');
    vi.advanceTimersByTime(30_000);
    expect(await who(tokenBy('three', {}))).toBe('token_invalid');
    expect(asked).toBe(3);
  });

  it('may replace a key by another one with the same kid', async () => {
    start();
    await looked(1);
    answer = json({ keys: [{ ...jwk('two'), kid: 'one' }] });
    expect(await who(tokenBy('two', { kid: 'one' }))).toBe('keys_unavailable');
    vi.advanceTimersByTime(30_000);
    expect(await who(tokenBy('two', { kid: 'one' }))).toBe('two');
  });

  it('that was requested before the token arrived proves nothing, but is tried', async () => {
    const going: (() => void)[] = [];
    const slow =
      (...kids: string[]): RequestListener =>
      (request, response) =>
        void going.push(() => keys(...kids)(request, response));
    answer = slow('one', 'two');
    start();
    await until(() => going.length === 1);
    const [two, three] = [who(tokenBy('two', {})), who(tokenBy('three', {}))];
    going[0]?.();
    expect(await Promise.all([two, three])).toEqual(['two', 'keys_unavailable']);
    expect(asked).toBe(1);
    // A fetch that begins after the token arrived does prove it.
    vi.advanceTimersByTime(30_000);
    const wrong = who(tokenBy('three', {}));
    await until(() => going.length === 2);
    going[1]?.();
    expect(await wrong).toBe('token_invalid');
  });

  it('is fetched once in 30 s for any number of unknown keys; their tokens are not called wrong', async () => {
    start();
    await looked(1);
    const [, body, signature] = tokenBy('three').split('.');
    const flood = async (count: number) => {
      const told = new Map<string, number>();
      const each = async (n: number) => {
        const header = part({ alg: 'ES256', kid: `unknown ${n}` });
        const code = await who(`${header}.${body}.${signature}`);
        told.set(code, (told.get(code) ?? 0) + 1);
      };
      for (let n = 0; n < count; n += 500) {
        await Promise.all(Array.from({ length: 500 }, (_, i) => each(n + i)));
      }
      return Object.fromEntries(told);
    };
    expect(await flood(5000)).toEqual({ keys_unavailable: 5000 });
    expect(asked).toBe(1);
    vi.advanceTimersByTime(30_000);
    const told = await flood(5000);
    expect(asked).toBe(2);
    // Tokens that arrived during the fetch: the key may be newer than it.
    expect(Object.keys(told).sort()).toEqual(['keys_unavailable', 'token_invalid']);
    expect(await who(tokenBy('one'))).toBe('one');
  });

  it('is not fetched for a token that no public key can have signed', async () => {
    start();
    await looked(1);
    vi.advanceTimersByTime(31_000);
    expect(await who(tokenOf({ sub: '42', aud: 'us' }))).toBe('token_invalid');
    expect(await who(`${part({ alg: 'none', kid: 'x' })}.${part({ sub: '42' })}.`)).toBe(
      'token_invalid',
    );
    expect(asked).toBe(1);
  });

  it('works together with secrets, which need no fetch', async () => {
    const secret = 's'.repeat(32);
    answer = hang;
    start({ tokenSecret: [secret] });
    expect(await who(tokenOf({ sub: '42', aud: 'us' }, secret))).toBe('42');
  });
});

describe('an address that fails', () => {
  const big = JSON.stringify({ keys: [jwk('two')], pad: 'x'.repeat(10_000_000) });
  const elsewhere: RequestListener = (_, response) => {
    const { port } = running.address() as AddressInfo;
    response.writeHead(302, { location: `https://localhost:${port}/other` }).end();
  };
  const ways: [what: string, answer: RequestListener, why: string][] = [
    ['500', json({ keys: [jwk('two')] }, 500), 'it answered with status 500'],
    ['a redirect', elsewhere, 'it answered with status 302'],
    ['10 MB', (_, response) => void response.end(big), 'it answered with more than 262144 bytes'],
    ['no JSON', (_, response) => void response.end('<html>'), 'the answer is not JSON'],
    ['no list', json({ key: [] }), 'the answer has no list of keys'],
    ['null', json(null), 'the answer has no list of keys'],
    ['no key', json({ keys: [] }), 'no usable key: the list is empty'],
    ['a secret', json({ keys: [{ kty: 'oct', k: 'eA' }] }), 'it is a secret'],
    ['keys to encrypt', json({ keys: [{ ...jwk('two'), use: 'enc' }] }), 'its use is "enc"'],
    ['too many', json({ keys: Array(65).fill(jwk('two')) }), '65 keys; 64 are allowed'],
    ['a break', (request) => void request.socket.destroy(), 'socket hang up'],
  ];

  it.each(ways)('%s keeps the previous keys, for jwksStaleMs', async (_, broken, why) => {
    start({ jwksRefreshMs: 60_000, jwksStaleMs: 100_000 });
    await looked(1);
    answer = broken;
    vi.advanceTimersToNextTimer();
    await looked(2);
    expect(log).toHaveBeenLastCalledWith(
      expect.objectContaining({ why: expect.stringContaining(why), keys: 1 }),
      'cannot fetch the token keys',
    );
    expect(await who(tokenBy('one'))).toBe('one');
    vi.advanceTimersByTime(99_000);
    // Meanwhile a token without a kid cannot be called wrong.
    expect([auth.isReady, await who(tokenBy('one')), await who(tokenBy('two', {}))]).toEqual([
      true,
      'one',
      'keys_unavailable',
    ]);
    vi.advanceTimersByTime(1001);
    expect(auth.isReady).toBe(false);
    expect(await who(tokenBy('one'))).toBe('keys_unavailable');
  });

  it('times out after 5 s', async () => {
    start({ jwksRefreshMs: 60_000 });
    await looked(1);
    answer = hang;
    vi.advanceTimersToNextTimer();
    await until(() => asked === 2);
    vi.advanceTimersByTime(5000);
    await looked(2);
    expect(results).toEqual([true, false]);
    expect(await who(tokenBy('one'))).toBe('one');
  });

  it('with jwksStaleMs 0 leaves no keys at once', async () => {
    start({ jwksRefreshMs: 60_000, jwksStaleMs: 0 });
    await looked(1);
    answer = json({}, 503);
    vi.advanceTimersToNextTimer();
    await looked(2);
    expect(await who(tokenBy('one'))).toBe('keys_unavailable');
  });

  it('from the start is retried more and more slowly, until it works', async () => {
    answer = json({}, 503);
    start();
    await looked(1);
    expect(auth.isReady).toBe(false);
    expect(await who(tokenBy('one'))).toBe('keys_unavailable');
    const waits: number[] = [];
    for (let n = 1; n <= 7; n += 1) {
      const before = performance.now();
      vi.advanceTimersToNextTimer();
      waits.push((performance.now() - before) / 1000);
      await looked(n + 1);
    }
    waits.forEach((wait, n) => {
      expect(Math.abs(wait / Math.min(30, 2 ** n) - 1)).toBeLessThan(0.101);
    });
    answer = keys('one');
    const tries = results.length;
    vi.advanceTimersToNextTimer();
    await looked(tries + 1);
    expect([auth.isReady, await who(tokenBy('one'))]).toEqual([true, 'one']);
    expect(log).toHaveBeenLastCalledWith({ url }, 'token keys can be fetched again');
  });

  it('leaks nothing if the server closes meanwhile', async () => {
    answer = hang;
    start();
    await until(() => asked === 1);
    const waits = who(tokenBy('one'));
    auth.close();
    expect(await waits).toBe('keys_unavailable');
  });
});
