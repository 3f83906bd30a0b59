/** One user: its connections and the rooms they are in, and an end of all of them. */
import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { type Static, Type } from 'typebox';
import { nowMs } from '../time.js';
import { type Outcome, Workers } from './across.js';
import type { HttpDeps } from './deps.js';
import { failures } from './failures.js';
import { MemberDetails, memberDetails } from './members.js';

const Params = Type.Object({ user: Type.String() });

const User = Type.Object(
  { user: Type.String(), members: Type.Array(MemberDetails), workers: Workers },
  { description: 'Its connections; none where it is not there.' },
);

const Closed = Type.Object(
  {
    closed: Type.Integer({ description: 'Connections that were closed.' }),
    workers: Workers,
  },
  { description: 'They are told why, with close code 4003, and that they should not come back.' },
);

export function users({ people }: HttpDeps): FastifyPluginCallbackTypebox {
  return (app, _options, done) => {
    app.get(
      '/v1/users/:user',
      {
        schema: {
          operationId: 'getUser',
          summary: 'The connections of a user',
          tags: ['users'],
          params: Params,
          response: { 200: User, ...failures('not_enabled') },
        },
        config: { across: { merge: mergeUsers } },
      },
      ({ params: { user } }) => {
        const now = nowMs();
        return {
          user,
          members: people.membersOf(user).map((member) => memberDetails(member, now)),
        };
      },
    );

    app.delete(
      '/v1/users/:user',
      {
        schema: {
          operationId: 'closeUser',
          summary: 'Close the connections of a user',
          description: 'It may come back with its token; to keep it out, revoke it.',
          tags: ['users'],
          params: Params,
          response: { 200: Closed, ...failures('not_enabled') },
        },
        config: { across: { merge: mergeClosed, isEverywhere: true } },
      },
      ({ params: { user } }) => ({ closed: people.close(user, 'forbidden') }),
    );
    done();
  };
}

function mergeUsers(outcomes: readonly Outcome[]) {
  const all = outcomes.map(({ body }) => body as Static<typeof User>);
  return { user: all[0]?.user, members: all.flatMap(({ members }) => members) };
}

function mergeClosed(outcomes: readonly Outcome[]) {
  const all = outcomes.map(({ body }) => body as Static<typeof Closed>);
  return { closed: all.reduce((sum, { closed }) => sum + closed, 0) };
}
