/**
 * The live page at `/`, the files it is made of, the reference of the HTTP API at `/docs`, the
 * runbook, and the client for browsers at `/client.js`. They are the same for every server and hold no secret, so they are open; what the page
 * shows comes from `/v1/live`, which is not. All of it is in memory: no request opens a file.
 *
 * Not here: the pages themselves (`src/page/`, built into `dist/page/`).
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FastifyInstance, RouteHandlerMethod } from 'fastify';

/** Of the package, whether this file runs from `src/` or from `dist/`. */
const DIRECTORY = fileURLToPath(new URL('../../dist/page/', import.meta.url));

/** Everything comes from this server, and nothing is written into the page. */
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

/** Paths of files that are not below `/page/`. */
const PATHS: Readonly<Record<string, string>> = {
  'index.html': '/',
  'runbook.html': '/runbook',
  'favicon.svg': '/favicon.svg',
  'docs.html': '/docs',
};

/** What pages of other origins may load too, and keep where they name its version: `?v=0.1.0`. */
const CLIENT = 'client.js';
const FOREVER = 'public, max-age=31536000, immutable';

export function page(app: FastifyInstance, version: string): void {
  // Sources run without a build have no page, as in tests of other things.
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
