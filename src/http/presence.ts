/**
 * Routes that list the users in a room page by page, or show one of them. They also work for rooms that
 * no member watches.
 */
import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { Refusal } from '../errors.js';
import { checkRoom, show } from '../protocol/fields.js';
import { connectionsOf, type Entry } from '../room/occupants.js';
import type { HttpDeps } from './deps.js';
import { failures } from './failures.js';
import { roomName } from './room-name.js';

/** Maximum number of users in an answer. */
const MAX_USERS = 1000;
const DEFAULT_USERS = 100;

const User = Type.Object(
  {
    user: Type.String(),
    since: Type.Integer({ description: 'When the user joined; milliseconds since 1970.' }),
    connections: Type.Integer({
      description:
        'Connections of the user in the room; 0 during the linger after the last one ended.',
    }),
    info: Type.Optional(Type.Unknown({ description: 'Extra data about the user.' })),
  },
  { description: 'A user in the room.' },
);

const Page = Type.Object(
  {
    room: Type.String(),
    counts: Type.Object({
      users: Type.Integer(),
      connections: Type.Integer({ description: 'Connections of users.' }),
      anonymous: Type.Integer({ description: 'Connections without a user.' }),
    }),
    users: Type.Array(User, { description: 'In the order in which they joined.' }),
    next: Type.Optional(
      Type.String({ description: 'Present if there are more: `after` of the next page.' }),
    ),
  },
  { description: 'One page of the users in the room, over all workers and nodes.' },
);

const Query = Type.Object(
  {
    after: Type.Optional(
      Type.String({ description: '`next` of the previous page; the first page by default.' }),
    ),
    limit: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: MAX_USERS,
        default: DEFAULT_USERS,
        description: 'Maximum number of users.',
      }),
    ),
  },
  { additionalProperties: false },
);

export function presence({ hub, limits }: HttpDeps): FastifyPluginCallbackTypebox {
  const room = roomName(limits);
  const rosterOf = (name: string) => hub.presence.read(checkRoom(name, limits));

  return (app, _options, done) => {
    app.get(
      '/v1/rooms/:room/presence',
      {
        schema: {
          operationId: 'listPresence',
          summary: 'List the users in a room',
          tags: ['rooms'],
          params: Type.Object({ room }),
          querystring: Query,
          response: {
            200: Page,
            ...failures('bad_command', 'bad_room', 'not_enabled', 'broker_unavailable'),
          },
        },
      },
      async ({ params, query: { after, limit = DEFAULT_USERS } }) => {
        const behind = after === undefined ? null : placeOf(after);
        const roster = await rosterOf(params.room);
        const listed = roster.earliest(behind, limit + 1);
        const users = listed.slice(0, limit);
        const last = listed.length > limit ? users.at(-1) : undefined;
        return {
          room: params.room,
          counts: roster.counts,
          users: users.map(shown),
          ...(last !== undefined && { next: `${last.since} ${last.user}` }),
        };
      },
    );

    app.get(
      '/v1/rooms/:room/presence/:user',
      {
        schema: {
          operationId: 'getPresence',
          summary: 'Get a user in a room',
          tags: ['rooms'],
          params: Type.Object({ room, user: Type.String() }),
          response: {
            200: User,
            ...failures('bad_room', 'not_enabled', 'not_found', 'broker_unavailable'),
          },
        },
      },
      async ({ params }) => {
        const entry = (await rosterOf(params.room)).of(params.user);
        if (entry !== undefined) return shown(entry);
        throw new Refusal('not_found', `${show(params.user)} is not in ${params.room}.`);
      },
    );
    done();
  };
}

/** @throws Refusal `bad_command` */
function placeOf(next: string): { since: number; user: string } {
  const { since, user } = /^(?<since>\d{1,15}) (?<user>.+)$/s.exec(next)?.groups ?? {};
  if (since !== undefined && user !== undefined) return { since: Number(since), user };
  throw new Refusal('bad_command', `after is ${show(next)}; it must be next of a previous page.`);
}

const shown = (entry: Entry) => ({
  user: entry.user,
  since: entry.since,
  connections: connectionsOf(entry),
  ...(entry.info !== undefined && { info: entry.info.value }),
});
