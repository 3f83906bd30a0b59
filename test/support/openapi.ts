/**
 * The OpenAPI document, generated from the routes. It is generated ahead and shipped
 * (`docs/openapi.json`), so that no server carries the generator; `npx vitest run
 * test/http/docs.test.ts -u` regenerates it.
 */
import swagger from '@fastify/swagger';
import fastify from 'fastify';
import type { HttpDeps } from '../../src/http/deps.js';
import { routes } from '../../src/http/routes.js';
import { commandLimits, defaults } from '../../src/options/config.js';

export async function openapi(): Promise<object> {
  const app = fastify();
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'roomcast',
        version: 'of the server',
        description:
          'Publish to rooms and manage members over HTTP. Without an API key, /v1 answers requests from this machine only.',
        license: { name: 'MIT', identifier: 'MIT' },
      },
      tags: [
        { name: 'messages', description: 'Publish messages, and read the history of rooms.' },
        { name: 'rooms', description: 'List rooms and the users in them.' },
        { name: 'members', description: 'List members, also by lag, and close them.' },
        {
          name: 'users',
          description: 'Revoke users and tokens, and close the connections of a user.',
        },
        { name: 'status', description: 'Monitor the server.' },
      ],
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
    },
  });
  // The schemas describe the routes; the other dependencies are only used by requests.
  const deps: Partial<HttpDeps> = {
    config: defaults,
    limits: commandLimits(defaults),
    sampler: { onSample: () => {}, series: [], past: [] },
  };
  routes(app, deps as HttpDeps);
  await app.ready();
  const document = app.swagger();
  await app.close();
  return document;
}
