/**
 * The OpenAPI document at /v1/openapi.json. It is the same for every server and holds no secret, so
 * it is open.
 *
 * Not here: the page that reads it to people at /docs (`page.ts`).
 */
import swagger from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import type { HttpDeps } from './deps.js';

/** To be awaited before routes are added: it looks at each as it comes. */
export async function docs(app: FastifyInstance, { version }: HttpDeps): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'roomcast',
        version,
        description:
          'Publish to rooms and look after members over HTTP. Without an API key, /v1 answers requests from this machine only.',
        license: { name: 'MIT', identifier: 'MIT' },
      },
      tags: [
        { name: 'messages', description: 'Publish.' },
        { name: 'rooms', description: 'What rooms there are.' },
        { name: 'members', description: 'Who is connected, who is slow.' },
        { name: 'status', description: 'For those who watch over the server.' },
      ],
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
    },
  });
  // Its server is beside it, wherever a proxy has put it.
  app.get('/v1/openapi.json', { schema: { hide: true } }, () => ({
    ...app.swagger(),
    servers: [{ url: '..' }],
  }));
}
