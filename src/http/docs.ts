/**
 * The OpenAPI document at /v1/openapi.json and the page that reads it to people at /docs. Both are
 * the same for every server and hold no secret, so they are open; what the page tries out is not.
 */
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import type { HttpDeps } from './deps.js';

/** Everything comes from this server; the page styles itself with attributes. */
const POLICY = {
  'default-src': "'none'",
  'script-src': "'self'",
  'style-src': "'self' 'unsafe-inline'",
  'img-src': "'self' data:",
  'connect-src': "'self'",
  'base-uri': "'none'",
  'form-action': "'none'",
  'frame-ancestors': "'none'",
};

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
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: POLICY,
    theme: { title: 'roomcast HTTP API' },
    uiConfig: { docExpansion: 'list', layout: 'BaseLayout' },
  });
  app.get('/v1/openapi.json', { schema: { hide: true } }, () => app.swagger());
}
