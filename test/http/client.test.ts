/** The single-file client, for pages of any origin. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { freePort } from '../support/free-port.js';
import { serve } from '../support/server.js';

const { version } = JSON.parse(readFileSync('package.json', 'utf8'));

test('any page may load /client.js, and it is cached permanently if the URL names its version', async () => {
  const { url } = await serve();
  const response = await fetch(`${url}/client.js`);
  expect(response.status).toBe(200);
  expect(Object.fromEntries(response.headers)).toMatchObject({
    'content-type': 'text/javascript; charset=utf-8',
    'access-control-allow-origin': '*',
    'cache-control': 'no-cache',
  });
  expect(await response.text()).toBe(readFileSync('client/dist/roomcast-client.min.js', 'utf8'));
  const etag = response.headers.get('etag') as string;
  const again = await fetch(`${url}/client.js`, { headers: { 'if-none-match': etag } });
  expect(again.status).toBe(304);
  const named = await fetch(`${url}/client.js?v=${version}`);
  expect(named.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
  const other = await fetch(`${url}/client.js?v=0.0.0`);
  expect(other.headers.get('cache-control')).toBe('no-cache');
  expect((await fetch(`${url}/page/style.css`)).headers.has('access-control-allow-origin')).toBe(
    false,
  );
});

test('/client.js is served to other origins, through proxies, and beside an internal port', async () => {
  const elsewhere = { origin: 'https://example.com', 'sec-fetch-site': 'cross-site' };
  for (const options of [
    {},
    { apiKey: ['a-key-of-sixteen'] },
    { internalPort: await freePort() },
  ]) {
    const { url } = await serve(options);
    for (const headers of [elsewhere, { ...elsewhere, 'x-forwarded-for': '192.0.2.1' }]) {
      const response = await fetch(`${url}/client.js`, { headers });
      expect([response.status, response.headers.get('access-control-allow-origin')]).toEqual([
        200,
        '*',
      ]);
    }
    const secret = await fetch(`${url}/v1/rooms`, { headers: elsewhere });
    expect(secret.status).toBeGreaterThanOrEqual(400);
  }
});

test('its version is that of the server', () => {
  expect(JSON.parse(readFileSync('client/package.json', 'utf8')).version).toBe(version);
});
