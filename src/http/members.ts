/**
 * Who is connected and how far each is behind: the identities that the metrics, with their fixed
 * labels (V9), cannot give.
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
    description: 'Who its token says it is; null without one.',
  }),
  transport: Type.Enum([...TRANSPORTS]),
  address: Type.String({ description: 'Of the peer, as --trust-proxy has it.' }),
  connectedAt: Type.Integer({ description: 'Milliseconds since 1970.' }),
  rooms: Type.Integer({ description: 'How many rooms it is in.' }),
  health: Type.Enum(['healthy', 'lagging', 'shedding']),
  queued: Type.Object({ messages: Type.Integer(), bytes: Type.Integer() }),
  lagMs: Type.Number({ description: 'Age of the oldest undelivered message; 0 without one.' }),
  rttMs: Type.Union([Type.Number(), Type.Null()], {
    description: 'Of the latest heartbeat; null before one.',
  }),
});

export const MemberDetails = Type.Object(
  {
    ...MemberInfo.properties,
    joined: Type.Array(Type.String(), { description: 'The rooms it is in.' }),
    workers: Workers,
  },
  { description: 'A member.' },
);

const Members = Type.Object(
  {
    total: Type.Integer({ description: 'Members there are, in the list or not.' }),
    members: Type.Array(MemberInfo),
    workers: Workers,
  },
  { description: 'The first of them.' },
);

const MemberParams = Type.Object({ id: Type.String() });

const RANK = {
  lag: (member: Member, now: number) => member.lagMs(now),
  queue: (member: Member) => member.queuedBytes,
  rtt: (member: Member) => member.roundTripSeconds ?? -1,
};

/** The same, of a member of any worker. */
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

/** A member as lists have it; `now` is of `nowMs()`. */
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
          summary: 'The members furthest behind',
          tags: ['members'],
          querystring: Type.Object(
            {
              sort: Type.Optional(
                Type.Enum(['lag', 'queue', 'rtt'], {
                  default: 'lag',
                  description: 'By lagMs, queued bytes or rttMs; the highest first.',
                }),
              ),
              room: Type.Optional(Type.String({ description: 'Only those in this room.' })),
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
          summary: 'A member',
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
          description: 'It is told why, with close code 4003, and that it should not come back.',
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
