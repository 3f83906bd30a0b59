/**
 * Routes that read a room's history page by page and purge it, also for rooms without members. An answer
 * is bounded in messages and bytes. `data` is returned exactly as it was delivered. `oldest` shows which
 * requested numbers are no longer kept (V18).
 */
import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import type { Past, Publication, Range } from '../broker/broker.js';
import { Refusal, type RefusalCode } from '../errors.js';
import { ownText } from '../own-text.js';
import { checkRoom, checkSeq } from '../protocol/fields.js';
import type { HttpDeps } from './deps.js';
import { failures } from './failures.js';
import { roomName } from './room-name.js';

/** Maximum number of messages in an answer. */
const MAX_MESSAGES = 1000;
/** Maximum size of an answer with more than one message. */
const MAX_BYTES = 1_048_576;

const Message = Type.Object({
  seq: Type.Integer({ description: 'Sequence number in the room.' }),
  from: Type.Union([Type.String(), Type.Null()], {
    description: 'Id of the member that published it; null if it was published through this API.',
  }),
  user: Type.Optional(Type.String({ description: 'User of that member, if known.' })),
  at: Type.Integer({ description: 'Milliseconds since 1970.' }),
  data: Type.Unknown({ description: 'The published value.' }),
  key: Type.Optional(Type.String()),
});

const Page = Type.Object(
  {
    room: Type.String(),
    epoch: Type.String({ description: 'Epoch of `seq`; a new epoch restarts the numbering.' }),
    seq: Type.Integer({ description: "Sequence number of the room's latest message." }),
    oldest: Type.Integer({
      description: 'Sequence number of the oldest kept message; `seq` + 1 if none is kept.',
    }),
    messages: Type.Array(Message, { description: 'In order, without holes.' }),
    next: Type.Optional(
      Type.Integer({
        description: 'Present if there are more: `from` of the next page, with the same `to`.',
      }),
    ),
  },
  { description: "One page of the room's history." },
);

const Query = Type.Object(
  {
    from: Type.Optional(
      Type.Integer({ description: 'First sequence number; the oldest kept one by default.' }),
    ),
    to: Type.Optional(
      Type.Integer({ description: 'Last sequence number; the latest by default.' }),
    ),
    last: Type.Optional(
      Type.Integer({ description: 'The latest n messages. Excludes `from` and `to`.' }),
    ),
    limit: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: MAX_MESSAGES,
        default: MAX_MESSAGES,
        description: `Maximum number of messages in this page. It also ends before ${MAX_BYTES} bytes, but has at least one message if there is one.`,
      }),
    ),
  },
  { additionalProperties: false },
);

const Through = Type.Object(
  {
    through: Type.Optional(
      Type.Integer({ description: 'Delete messages up to and including this one. Required.' }),
    ),
  },
  { additionalProperties: false },
);

const REFUSED: readonly RefusalCode[] = [
  'bad_command',
  'bad_room',
  'bad_position',
  'not_enabled',
  'broker_unavailable',
  'shutting_down',
];

type Asked = Partial<Record<'from' | 'to' | 'last' | 'limit', number>>;

export function history({ hub, limits }: HttpDeps): FastifyPluginCallbackTypebox {
  const RoomParams = Type.Object({ room: roomName(limits) });

  async function read(room: string, asked: Asked): Promise<[past: Past, to: number]> {
    const { limit = MAX_MESSAGES } = asked;
    const { from, to, last } = checkRange(asked);
    const range: Range = { from, to, maxMessages: limit, maxBytes: MAX_BYTES };
    if (last === undefined) return [await hub.archive.read(room, range), to];
    // The broker's `seq` tells where the latest messages start.
    const { seq } = await hub.archive.read(room, { ...range, maxMessages: 1 });
    const latest = { ...range, from: Math.max(1, seq - last + 1), to: Math.max(1, seq) };
    return [await hub.archive.read(room, latest), seq];
  }

  return (app, _options, done) => {
    app.get(
      '/v1/rooms/:room/messages',
      {
        schema: {
          operationId: 'getMessages',
          summary: "Read a room's history",
          description: 'The room need not have members.',
          tags: ['messages'],
          params: RoomParams,
          querystring: Query,
          response: { 200: Page, ...failures(...REFUSED) },
        },
      },
      async ({ params, query }, reply) => {
        const room = checkRoom(ownText(params.room), limits);
        const [past, to] = await read(room, query);
        reply.type('application/json; charset=utf-8');
        // Sent as text: `data` is already encoded as JSON and may be a megabyte.
        return reply.send(write(room, past, to) as never);
      },
    );

    app.delete(
      '/v1/rooms/:room/messages',
      {
        schema: {
          operationId: 'purgeMessages',
          summary: "Delete messages from a room's history",
          description:
            'The numbering and the epoch stay. Members that ask for the deleted messages get a gap.',
          tags: ['messages'],
          params: RoomParams,
          querystring: Through,
          response: {
            204: Type.Null({ description: 'Deleted.' }),
            ...failures(...REFUSED, 'worker_unavailable'),
          },
        },
        // Every worker must also drop its cached copies.
        config: { across: { merge: () => null, isEmpty: true, isOfAll: true } },
      },
      async ({ params, query }, reply) => {
        const room = checkRoom(ownText(params.room), limits);
        await hub.archive.purge(room, checkSeq(query.through, 'through', 1));
        reply.code(204);
        return null;
      },
    );
    done();
  };
}

function checkRange({ from, to, last }: Asked) {
  if (last !== undefined && (from !== undefined || to !== undefined)) {
    throw new Refusal('bad_position', 'last cannot be combined with from or to.');
  }
  const range = {
    from: from === undefined ? 1 : checkSeq(from, 'from', 1),
    to: to === undefined ? Number.MAX_SAFE_INTEGER : checkSeq(to, 'to', 1),
    last: last === undefined ? undefined : checkSeq(last, 'last', 1),
  };
  if (range.from > range.to) {
    throw new Refusal(
      'bad_position',
      `from is ${range.from}, to is ${range.to}; from must not be larger than to.`,
    );
  }
  return range;
}

/** The JSON text of a page. `to` is the last message that was requested. */
function write(room: string, { seq, epoch, oldest, publications }: Past, to: number): string {
  const messages: string[] = [];
  let bytes = 0;
  let end = 0;
  for (const publication of publications) {
    const text = textOf(publication);
    bytes += Buffer.byteLength(text) + 1;
    if (bytes > MAX_BYTES && messages.length > 0) break;
    messages.push(text);
    end = publication.seq;
  }
  const head = JSON.stringify({ room, epoch, seq, oldest }).slice(0, -1);
  const isMore = end > 0 && end < Math.min(to, seq);
  return `${head},"messages":[${messages.join(',')}]${isMore ? `,"next":${end + 1}` : ''}}`;
}

function textOf({ seq, from, user, at, data, key }: Publication): string {
  const head = JSON.stringify({ seq, from, user, at, key }).slice(0, -1);
  return `${head},"data":${data}}`;
}
