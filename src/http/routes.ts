/**
 * The list of all routes of the HTTP API. Each route has its own file. `docs/openapi.json` is generated
 * from this list and the routes' schemas.
 */
// Adds the fields of `@fastify/swagger` (summary, tags, …) to the schema type.
import type {} from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import { answerAcross } from './across.js';
import type { HttpDeps } from './deps.js';
import { failures } from './failures.js';
import { createGuard } from './guard.js';
import { history } from './history.js';
import { live } from './live.js';
import { locks } from './locks.js';
import { members } from './members.js';
import { messages } from './messages.js';
import { presence } from './presence.js';
import { profiles } from './profiles.js';
import { revocations } from './revocations.js';
import { rooms } from './rooms.js';
import { status } from './status.js';
import { users } from './users.js';

export function routes(app: FastifyInstance, deps: HttpDeps): void {
  app.register(status(deps));
  app.register(async (v1) => {
    const guard = createGuard(deps.config);
    v1.addHook('onRequest', (request, _reply, done) => {
      // The worker that forwarded the request has already checked it.
      if (!deps.peers?.isPeer(request.raw)) guard(request.raw);
      done();
    });
    answerAcross(v1, deps.peers);
    v1.addHook('onRoute', ({ schema }) => {
      if (schema === undefined) return;
      schema.security = [{ key: [] }];
      schema.response = {
        ...failures('unauthorised', 'forbidden'),
        ...(schema.response as object),
      };
    });
    v1.register(messages(deps));
    v1.register(history(deps));
    v1.register(rooms(deps));
    v1.register(presence(deps));
    v1.register(members(deps));
    v1.register(users(deps));
    v1.register(revocations(deps));
    v1.register(live(deps));
    v1.register(locks(deps));
    v1.register(profiles(deps));
  });
}
