/** Cutting off users and tokens: each answer comes when it is done. */
import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { KEEP_MS, MAX_KEEP_MS } from '../auth/revocations.js';
import { Refusal } from '../errors.js';
import type { Cut } from '../session/people.js';
import { summary, Workers } from './across.js';
import type { HttpDeps } from './deps.js';
import { failures } from './failures.js';

const fields = {
  user: Type.Optional(Type.String({ minLength: 1, maxLength: 128, description: 'A user.' })),
  token: Type.Optional(
    Type.String({ minLength: 1, maxLength: 128, description: 'Or one token: its claim jti.' }),
  ),
  room: Type.Optional(
    Type.String({
      description:
        'A room, or a prefix and *: these rooms are left, and may not be joined. Without it connections are closed with 4005.',
      examples: ['chat:*'],
    }),
  ),
};

const Asked = Type.Object({
  ...fields,
  before: Type.Optional(
    Type.Number({
      minimum: 0,
      description:
        'Seconds since 1970: tokens issued later are good again, give or take --clock-tolerance-ms. Now, unless it is said. A token that does not say when it was issued counts as an old one.',
    }),
  ),
  keepMs: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: MAX_KEEP_MS,
      default: KEEP_MS,
      description: 'How long it is remembered: at least as long as such tokens are good.',
    }),
  ),
});

const Done = Type.Object(
  {
    id: Type.String(),
    closed: Type.Integer({ description: 'Connections that were closed.' }),
    left: Type.Integer({ description: 'Rooms that were left, of connections that go on.' }),
    workers: Workers,
  },
  { description: 'It is in force, and nothing more is handed over to whom it is about.' },
);

const Revocations = Type.Object(
  {
    revocations: Type.Array(
      Type.Object({
        id: Type.String(),
        ...fields,
        before: Type.Number({ description: 'Seconds since 1970.' }),
        until: Type.Integer({ description: 'Milliseconds since 1970.' }),
      }),
    ),
  },
  { description: 'Those in force.' },
);

const Params = Type.Object({ id: Type.String() });

/** Of the id that a revocation has at the worker that was asked. */
const REVOCATION = 'x-roomcast-revocation';

export function revocations({ people, peers }: HttpDeps): FastifyPluginCallbackTypebox {
  return (app, _options, done) => {
    app.post(
      '/v1/revocations',
      {
        schema: {
          operationId: 'revoke',
          summary: 'Cut off a user or a token, everywhere or in some rooms',
          tags: ['users'],
          body: Asked,
          response: {
            200: Done,
            ...failures('bad_json', 'bad_command', 'not_enabled', 'revocations_full'),
          },
        },
      },
      async ({ body, raw, headers }) => {
        if (peers === null) return people.revoke(body);
        if (peers.isPeer(raw)) return people.revoke(body, String(headers[REVOCATION]));
        const cut = people.revoke(body);
        const answers = await peers.ask({
          method: 'POST',
          url: '/v1/revocations',
          // Now is now for all of them.
          body: { before: Date.now() / 1000, ...body },
          headers: { [REVOCATION]: cut.id },
          isInsistent: true,
        });
        const all = [cut, ...answers.answers.map((answer) => answer.body as Cut)];
        return {
          id: cut.id,
          closed: all.reduce((sum, { closed = 0 }) => sum + closed, 0),
          left: all.reduce((sum, { left = 0 }) => sum + left, 0),
          workers: summary(answers, peers),
        };
      },
    );

    app.get(
      '/v1/revocations',
      {
        schema: {
          operationId: 'listRevocations',
          summary: 'What is cut off',
          tags: ['users'],
          response: { 200: Revocations, ...failures('not_enabled') },
        },
      },
      () => ({ revocations: people.revocations() }),
    );

    app.delete(
      '/v1/revocations/:id',
      {
        schema: {
          operationId: 'liftRevocation',
          summary: 'Let somebody in again',
          tags: ['users'],
          params: Params,
          response: {
            204: Type.Null({ description: 'Lifted.' }),
            ...failures('not_found', 'not_enabled', 'worker_unavailable'),
          },
        },
        config: { across: { merge: () => null, isEmpty: true, isOfAll: true } },
      },
      async ({ params: { id } }, reply) => {
        if (!people.lift(id)) {
          throw new Refusal('not_found', `No revocation has the id ${id.slice(0, 40)}.`);
        }
        reply.code(204);
        return null;
      },
    );
    done();
  };
}
