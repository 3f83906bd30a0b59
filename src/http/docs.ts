/**
 * Serves the OpenAPI document at /v1/openapi.json: the one in the package, with the options of this
 * server. It contains no secret.
 *
 * Not here: the page at /docs (`page.ts`), generating the document from the routes
 * (`docs/openapi.json`).
 */
import { readFileSync } from 'node:fs';
import type { FastifyInstance } from 'fastify';
import type { HttpDeps } from './deps.js';
import { ROOM_NAME, roomName } from './room-name.js';

/** File in the package, the same from `src/` and from `dist/`. */
const FILE = new URL('../../docs/openapi.json', import.meta.url);

interface Document {
  readonly info: object;
  readonly paths: Readonly<Record<string, object>>;
}

export function docs(
  app: FastifyInstance,
  { version, config, limits }: Pick<HttpDeps, 'version' | 'config' | 'limits'>,
): void {
  const { info, paths, ...document } = JSON.parse(
    readFileSync(FILE, 'utf8'),
    (_key, value: { readonly title?: string } | null) =>
      value?.title === ROOM_NAME ? { ...value, ...roomName(limits) } : value,
  ) as Document;
  const { '/metrics': metrics, ...others } = paths;
  const answer = {
    ...document,
    info: { ...info, version },
    paths: config.metrics ? { '/metrics': metrics, ...others } : others,
    // Relative to the document, so that it also works behind a proxy with a path prefix.
    servers: [{ url: '..' }],
  };
  app.get('/v1/openapi.json', () => answer);
}
