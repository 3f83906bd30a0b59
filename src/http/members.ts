/**
 * Routes that list the members and how far each is behind. Metrics cannot identify members, since their
 * labels are fixed (V9).
 */
import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { type Static, Type } from 'typebox';
import { Refusal } from '../errors.js';
import { memberInfo as infoOf } from '../info.js';
import { checkRoom } from '../protocol/fields.js';
import type { Member } from '../room/member.js';
import { nowMs } from '../time.js';
import { TRANSPORTS } from '../transport/transport.js';
import { type Outcome, Workers } from './across.js';
import type { HttpDeps } from './deps.js';
import { failures } from './failures.js';
import { Limit, top } from './top.js';

const MemberInfo = Type.Object({
  id: Type.String(),
  user: Type.Union([Type.String(), Type.Null()], {
    description: 'The authenticated user; null for an anonymous member.',
  }),
  transport: Type.Enum([...TRANSPORTS]),
  address: Type.String({ description: "The peer's address, resolved with --trust-proxy." }),
  connectedAt: Type.Integer({ description: 'Milliseconds since 1970.' }),
  rooms: Type.Integer({ description: 'Number of rooms it has joined.' }),
  health: Type.Enum(['healthy', 'lagging', 'shedding']),
  queued: Type.Object({ messages: Type.Integer(), bytes: Type.Integer() }),
  lagMs: Type.Number({ description: 'Age of the oldest undelivered message; 0 without one.' }),
  rttMs: Type.Union([Type.Number(), Type.Null()], {
    description: 'Round trip of the latest heartbeat; null before the first.',
  }),
});

export const MemberDetails = Type.Object(
  {
    ...MemberInfo.properties,
    joined: Type.Array(Type.String(), { description: 'Names of the rooms it has joined.' }),
    workers: Workers,
  },
  { description: 'A member.' },
);

const Members = Type.Object(
  {
    total: Type.Integer({ description: 'Number of members, including those not listed.' }),
    members: Type.Array(MemberInfo),
    workers: Workers,
  },
  { description: 'The members, sorted by `sort`.' },
);

const MemberParams = Type.Object({ id: Type.String() });

const RANK = {
  lag: (member: Member, now: number) => member.lagMs(now),
  queue: (member: Member) => member.queuedBytes,
  rtt: (member: Member) => member.roundTripSeconds ?? -1,
};

/** The same ranks for the JSON form of a member, to merge the workers' lists. */
const RANK_OF: Record<keyof typeof RANK, (info: Static<typeof MemberInfo>) => number> = {
  lag: ({ lagMs }) => lagMs,
  queue: ({ queued }) => queued.bytes,
  rtt: ({ rttMs }) => rttMs ?? -1,
};

function mergeLists(
  outcomes: readonly Outcome[],
  { sort, limit }: { readonly sort?: unknown; readonly limit?: unknown },
): Static<typeof Members> {
  const lists = outcomes.map(({ body }) => body as Static<typeof Members>);
  const rank = RANK_OF[(sort as keyof typeof RANK | undefined) ?? 'lag'];
  return {
    total: lists.reduce((sum, { total }) => sum + total, 0),
    members: top(
      lists.flatMap(({ members }) => members),
      rank,
      limit as number | undefined,
    ),
  };
}

/** A member as an entry of a list. `now` is from `nowMs()`. */
export function memberInfo(member: Member, now: number): Static<typeof MemberInfo> {
  const { rooms, ...info } = infoOf(member, now);
  return { ...info, rooms: rooms.length };
}

/** A member with the names of its rooms. */
export function memberDetails(member: Member, now: number): Static<typeof MemberDetails> {
  return { ...memberInfo(member, now), joined: [...member.subscriptions.keys()] };
}

export function members({ hub, limits, close }: HttpDeps): FastifyPluginCallbackTypebox {
  function find(id: string): Member {
    const member = hub.members.get(id);
    if (member !== undefined) return member;
    throw new Refusal('not_found', `No member has the id ${id.slice(0, 40)}.`);
  }

  function* membersOf(name: string): Iterable<Member> {
    const room = hub.rooms.get(checkRoom(name, limits));
    if (room === undefined) return;
    for (const { member, hasLeft } of room.members()) if (!hasLeft) yield member;
  }

  return (app, _options, done) => {
    app.get(
      '/v1/members',
      {
        schema: {
          operationId: 'listMembers',
          summary: 'List the members that are furthest behind',
          tags: ['members'],
          querystring: Type.Object(
            {
              sort: Type.Optional(
                Type.Enum(['lag', 'queue', 'rtt'], {
                  default: 'lag',
                  description: 'Sort by lagMs, queued bytes or rttMs, highest first.',
                }),
              ),
              room: Type.Optional(Type.String({ description: 'Only members of this room.' })),
              limit: Limit,
            },
            { additionalProperties: false },
          ),
          response: { 200: Members, ...failures('bad_command', 'bad_room') },
        },
        config: { across: { merge: mergeLists } },
      },
      ({ query: { sort = 'lag', room, limit } }) => {
        const now = nowMs();
        const all = room === undefined ? Array.from(hub.members.values()) : [...membersOf(room)];
        const first = top(all, (member) => RANK[sort](member, now), limit);
        return { total: all.length, members: first.map((member) => memberInfo(member, now)) };
      },
    );

    app.get(
      '/v1/members/:id',
      {
        schema: {
          operationId: 'getMember',
          summary: 'Get a member',
          tags: ['members'],
          params: MemberParams,
          response: { 200: MemberDetails, ...failures('not_found', 'worker_unavailable') },
        },
        config: { across: { merge: ([found]) => found?.body } },
      },
      ({ params }) => memberDetails(find(params.id), nowMs()),
    );

    app.delete(
      '/v1/members/:id',
      {
        schema: {
          operationId: 'closeMember',
          summary: 'Close the connection of a member',
          description:
            'The server closes it with code 4003, so that the client does not reconnect.',
          tags: ['members'],
          params: MemberParams,
          response: {
            204: Type.Null({ description: 'Closed.' }),
            ...failures('not_found', 'worker_unavailable'),
          },
        },
        config: { across: { merge: () => null, isEmpty: true } },
      },
      async ({ params }, reply) => {
        close(find(params.id), 'forbidden');
        reply.code(204);
        return null;
      },
    );
    done();
  };
}
