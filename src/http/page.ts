/**
 * Serves the static files: the live page at `/`, the API reference at `/docs`, the runbook, and the
 * browser client at `/client.js`. They are the same for every server and contain no secret, so they need
 * no key; the live page's data comes from `/v1/live`, which does. All files are in memory: no request
 * opens a file.
 *
 * Not here: the pages themselves (`src/page/`, built into `dist/page/`).
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FastifyInstance, RouteHandlerMethod } from 'fastify';

/** Directory in the package, the same from `src/` and from `dist/`. */
const DIRECTORY = fileURLToPath(new URL('../../dist/page/', import.meta.url));

/** All resources come from this server. Inline scripts and styles are forbidden. */
const POLICY = Object.entries({
  'default-src': "'none'",
  'script-src': "'self'",
  'style-src': "'self'",
  'img-src': "'self'",
  'connect-src': "'self'",
  'base-uri': "'none'",
  'form-action': "'none'",
  'frame-ancestors': "'none'",
})
  .map((pair) => pair.join(' '))
  .join('; ');

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** URL paths of the files that are not under `/page/`. */
const PATHS: Readonly<Record<string, string>> = {
  'index.html': '/',
  'runbook.html': '/runbook',
  'favicon.svg': '/favicon.svg',
  'docs.html': '/docs',
};

/**
 * Pages of other origins may load it. Browsers cache it permanently if the URL names its version:
 * `?v=0.1.0`.
 */
const CLIENT = 'client.js';
const FOREVER = 'public, max-age=31536000, immutable';

export function page(app: FastifyInstance, version: string): void {
  // Without a build, for example in other tests, there is no page.
  if (!existsSync(DIRECTORY)) return;
  for (const file of readdirSync(DIRECTORY, { recursive: true, encoding: 'utf8' })) {
    const name = file.replaceAll('\\', '/');
    const type = TYPES[extname(name)];
    if (type === undefined) continue;
    const body = readFileSync(DIRECTORY + file);
    const etag = `"${createHash('sha256').update(body).digest('base64url')}"`;
    const answer: RouteHandlerMethod = (request, reply) => {
      const isNamed = new URLSearchParams(request.url.split('?')[1]).get('v') === version;
      if (name === CLIENT) reply.header('access-control-allow-origin', '*');
      reply
        .header('content-security-policy', POLICY)
        .header('x-content-type-options', 'nosniff')
        .header('referrer-policy', 'no-referrer')
        .header('cache-control', name === CLIENT && isNamed ? FOREVER : 'no-cache')
        .header('etag', etag);
      if (request.headers['if-none-match'] === etag) return reply.code(304).send();
      return reply.type(type).send(body);
    };
    app.get(PATHS[name] ?? `/page/${name}`, answer);
    if (name === CLIENT) app.get(`/${CLIENT}`, answer);
  }
  app.get('/docs/', (_request, reply) => reply.redirect('../docs'));
}
