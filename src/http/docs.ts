/**
 * The OpenAPI document at /v1/openapi.json: that of the package, with the options of this server. It
 * holds no secret.
 *
 * Not here: the page that shows it to people at /docs (`page.ts`), the document itself, which is made
 * from the routes ahead (`docs/openapi.json`).
 */
import { readFileSync } from 'node:fs';
import type { FastifyInstance } from 'fastify';
import type { HttpDeps } from './deps.js';
import { ROOM_NAME, roomName } from './room-name.js';

/** Of the package, whether this file runs from `src/` or from `dist/`. */
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
    // Beside the document, wherever a proxy has put it.
    servers: [{ url: '..' }],
  };
  app.get('/v1/openapi.json', () => answer);
}
