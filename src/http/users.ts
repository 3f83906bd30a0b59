/** Routes that show a user's connections, with their rooms, and close them. */
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
  { description: 'The connections of the user; an empty list if it has none.' },
);

const Closed = Type.Object(
  {
    closed: Type.Integer({ description: 'Number of connections closed.' }),
    workers: Workers,
  },
  { description: 'The connections are closed with code 4003, so that clients do not reconnect.' },
);

export function users({ people }: HttpDeps): FastifyPluginCallbackTypebox {
  return (app, _options, done) => {
    app.get(
      '/v1/users/:user',
      {
        schema: {
          operationId: 'getUser',
          summary: "List a user's connections",
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
          summary: "Close a user's connections",
          description:
            'The user may connect again with the same token. To prevent that, revoke it.',
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
