/**
 * The live page at `/`, the files it is made of, and the runbook. They are the same for every server
 * and hold no secret, so they are open; what the page shows comes from `/v1/live`, which is not.
 *
 * Not here: the page itself (`src/page/`, built into `dist/page/`).
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FastifyInstance } from 'fastify';

/** Of the package, whether this file runs from `src/` or from `dist/`. */
const DIRECTORY = fileURLToPath(new URL('../../dist/page/', import.meta.url));

/** Everything comes from this server, and nothing is written into the page. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

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
};

export function page(app: FastifyInstance): void {
  // Sources run without a build have no page, as in tests of other things.
  if (!existsSync(DIRECTORY)) return;
  for (const name of readdirSync(DIRECTORY, { recursive: true, encoding: 'utf8' })) {
    const type = TYPES[extname(name)];
    if (type === undefined) continue;
    const body = readFileSync(DIRECTORY + name);
    const etag = `"${createHash('sha256').update(body).digest('base64url')}"`;
    const path = PATHS[name] ?? `/page/${name.replaceAll('\\', '/')}`;
    app.get(path, { schema: { hide: true } }, (request, reply) => {
      reply
        .header('content-security-policy', POLICY)
        .header('x-content-type-options', 'nosniff')
        .header('referrer-policy', 'no-referrer')
        .header('cache-control', 'no-cache')
        .header('etag', etag);
      if (request.headers['if-none-match'] === etag) return reply.code(304).send();
      return reply.type(type).send(body);
    });
  }
}
