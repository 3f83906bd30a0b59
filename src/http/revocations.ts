/** Routes that revoke users and tokens. Each answers once the revocation is in force. */
import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { type Static, Type } from 'typebox';
import { KEEP_MS, MAX_KEEP_MS, newId } from '../auth/revocations.js';
import { Refusal } from '../errors.js';
import type { Cut, People } from '../session/people.js';
import { summary, Workers } from './across.js';
import type { HttpDeps } from './deps.js';
import { failures } from './failures.js';
import type { Answer, Peers } from './peers.js';

const fields = {
  user: Type.Optional(
    Type.String({ minLength: 1, maxLength: 128, description: 'The user to revoke.' }),
  ),
  token: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 128,
      description: 'The token to revoke, by its claim jti.',
    }),
  ),
  room: Type.Optional(
    Type.String({
      description:
        'A room, or a prefix and *. Connections leave these rooms and may not join them. Without a room, connections are closed with 4005.',
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
        'Seconds since 1970; the current time by default. Tokens issued later stay valid, within --clock-tolerance-ms. A token without an issue time counts as issued before.',
    }),
  ),
  keepMs: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: MAX_KEEP_MS,
      default: KEEP_MS,
      description: 'How long the revocation is kept: at least as long as such tokens are valid.',
    }),
  ),
});

const Done = Type.Object(
  {
    id: Type.String(),
    closed: Type.Integer({ description: 'Number of connections closed.' }),
    left: Type.Integer({ description: 'Number of rooms left by connections that stay open.' }),
    workers: Workers,
  },
  { description: 'The revocation is in force; the server delivers nothing more that it forbids.' },
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
  { description: 'Revocations in force.' },
);

const Params = Type.Object({ id: Type.String() });

/** Header with the id that the asked worker has given the revocation. */
const REVOCATION = 'x-roomcast-revocation';

export function revocations({ people, peers }: HttpDeps): FastifyPluginCallbackTypebox {
  return (app, _options, done) => {
    app.post(
      '/v1/revocations',
      {
        schema: {
          operationId: 'revoke',
          summary: 'Revoke a user or a token, everywhere or in some rooms',
          description:
            'If it fails with `revocations_full`, the current connections are cut off but may come back.',
          tags: ['users'],
          body: Asked,
          response: {
            200: Done,
            ...failures('bad_json', 'bad_command', 'not_enabled', 'revocations_full'),
          },
        },
      },
      ({ body, raw, headers }) => {
        if (peers === null) return people.revoke(body);
        if (peers.isPeer(raw)) return people.revoke(body, String(headers[REVOCATION]));
        return revokeAtAll(people, peers, body);
      },
    );

    app.get(
      '/v1/revocations',
      {
        schema: {
          operationId: 'listRevocations',
          summary: 'List the revocations',
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
          summary: 'Lift a revocation',
          tags: ['users'],
          params: Params,
          response: {
            204: Type.Null({ description: 'Lifted.' }),
            ...failures('not_found', 'not_enabled', 'worker_unavailable'),
          },
        },
        config: { across: { merge: () => null, isEmpty: true, isOfAll: true, isEverywhere: true } },
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

/**
 * Applies the revocation at all workers, or at none if one of them is full. Connected members are cut
 * off in both cases. A worker that has not done it is asked again until it has, for as long as the
 * revocation is in force.
 */
async function revokeAtAll(people: People, peers: Peers, asked: Static<typeof Asked>) {
  const id = newId();
  const cuts: Cut[] = [];
  let full: Refusal | undefined;
  try {
    cuts.push(people.revoke(asked, id));
  } catch (error) {
    if (!isFull(error)) throw error;
    full = error;
  }
  const { answers, missing } = await peers.ask({
    method: 'POST',
    url: '/v1/revocations',
    // The same time for all workers.
    body: { before: Date.now() / 1000, ...asked },
    headers: { [REVOCATION]: id },
    isEverywhere: true,
    insists: (answer) =>
      people.isRevoked(id) && (answer === null || !(isDone(answer) || answer.status === 400)),
  });
  const undone = new Set(missing);
  for (const answer of answers) {
    if (isDone(answer)) cuts.push(answer.body as Cut);
    else undone.add(answer.slot);
    if (isFull(answer.body)) full ??= new Refusal(answer.body.code, answer.body.message);
  }
  if (full !== undefined) {
    people.lift(id);
    await peers.ask({
      method: 'DELETE',
      url: `/v1/revocations/${id}`,
      isEverywhere: true,
      insists: (answer) => answer === null || !(isDone(answer) || answer.status === 404),
    });
    throw full;
  }
  return {
    id,
    closed: cuts.reduce((sum, { closed }) => sum + closed, 0),
    left: cuts.reduce((sum, { left }) => sum + left, 0),
    workers: summary(undone, peers),
  };
}

const isDone = ({ status }: Answer) => status >= 200 && status < 300;

/** True for the refusal and for its JSON body. */
const isFull = (refused: unknown): refused is Refusal =>
  (refused as Partial<Refusal> | null)?.code === 'revocations_full';
