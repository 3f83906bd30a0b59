import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { type Served, serve } from './support.js';

let server: Served;
afterEach(() => server.stop());

const FILES = readdirSync(new URL('../../dist/page/', import.meta.url), {
  recursive: true,
  encoding: 'utf8',
}).filter((name) => /\.(js|css)$/.test(name));

const PAGES: [path: string, type: string][] = [
  ['/', 'text/html; charset=utf-8'],
  ['/docs', 'text/html; charset=utf-8'],
  ['/runbook', 'text/html; charset=utf-8'],
  ['/favicon.svg', 'image/svg+xml'],
  ['/page/main.js', 'text/javascript; charset=utf-8'],
];
for (const name of FILES) {
  const kind = name.endsWith('.js') ? 'javascript' : 'css';
  PAGES.push([`/page/${name}`, `text/${kind}; charset=utf-8`]);
}

it.each(PAGES)('serves %s to anyone, under a strict policy', async (path, type) => {
  server = await serve({ apiKey: ['secret'] });
  const { status, headers } = await server.ask('GET', path);
  expect(status).toBe(200);
  expect(headers['content-type']).toBe(type);
  expect(headers['content-security-policy']).toMatch(/^default-src 'none'; script-src 'self'; /);
  expect(headers['x-content-type-options']).toBe('nosniff');
  expect(headers['cache-control']).toBe('no-cache');
  const known = await server.ask('GET', path, {
    headers: { 'if-none-match': String(headers.etag) },
  });
  expect([known.status, known.text]).toEqual([304, '']);
});

it.each([
  '/page/',
  '/page/index.html',
  '/page/../package.json',
  '/page/%2e%2e/%2e%2e/package.json',
  '/page/main.ts',
])('has no %s', async (path) => {
  server = await serve();
  expect((await server.ask('GET', path)).status).toBe(404);
});

it('opens no file for a request, not even for requests pipelined by a peer that disconnects', async () => {
  server = await serve();
  const files = () => readdirSync('/proc/self/fd').length;
  const before = files();
  const socket = connect(server.port, '127.0.0.1');
  socket.write('GET /page/vendor/uplot.js HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(100));
  await once(socket, 'data');
  expect(files()).toBeLessThan(before + 20);
  socket.destroy();
});

it.each(['/', '/docs', '/runbook'])(
  '%s has no links that start at the root of the host',
  async (path) => {
    server = await serve();
    const { text } = await server.ask('GET', path);
    const links = [...text.matchAll(/(?:src|href)="([^"#]+)"/g)].map(([, link]) => String(link));
    expect(links.length).toBeGreaterThan(1);
    for (const link of links.filter((each) => !/^https?:/.test(each))) {
      expect(link).not.toMatch(/^\//);
      const { pathname } = new URL(link, `http://a${path}`);
      expect([link, (await server.ask('GET', pathname)).status]).toEqual([link, 200]);
    }
  },
);
