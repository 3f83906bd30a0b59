/**
 * What rooms keep of their messages: read page by page, and purged. Also of rooms that nobody is in. An
 * answer is bounded in messages and bytes, `data` goes out as it was delivered, and a number outside of
 * what is kept is told by `oldest` (V18).
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

/** Most messages of one answer. */
const MAX_MESSAGES = 1000;
/** Most bytes of the messages of one answer, if it has more than one. */
const MAX_BYTES = 1_048_576;

const Message = Type.Object({
  seq: Type.Integer({ description: 'Place in the order of the room.' }),
  from: Type.Union([Type.String(), Type.Null()], {
    description: 'Id of the member that published it; null for this API.',
  }),
  user: Type.Optional(Type.String({ description: 'The user behind it, where one is known.' })),
  at: Type.Integer({ description: 'Milliseconds since 1970.' }),
  data: Type.Unknown({ description: 'What was published.' }),
  key: Type.Optional(Type.String()),
});

const Page = Type.Object(
  {
    room: Type.String(),
    epoch: Type.String({ description: 'The order that `seq` counts in; a new one starts over.' }),
    seq: Type.Integer({ description: 'Of the latest message of the room.' }),
    oldest: Type.Integer({
      description: 'Of the oldest message that is kept; `seq` + 1 when none is.',
    }),
    messages: Type.Array(Message, { description: 'In order, without a hole.' }),
    next: Type.Optional(
      Type.Integer({ description: 'There are more: `from` of the next page, with the same `to`.' }),
    ),
  },
  { description: 'A part of what the room keeps.' },
);

const Query = Type.Object(
  {
    from: Type.Optional(
      Type.Integer({ description: 'The first message that is asked for; without it, the oldest.' }),
    ),
    to: Type.Optional(
      Type.Integer({ description: 'The last that is asked for; without it, the latest.' }),
    ),
    last: Type.Optional(
      Type.Integer({ description: 'Instead of `from` and `to`: so many of the latest.' }),
    ),
    limit: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: MAX_MESSAGES,
        default: MAX_MESSAGES,
        description: `Most messages of this page. It ends before ${MAX_BYTES} bytes too, but has at least one message if there is one.`,
      }),
    ),
  },
  { additionalProperties: false },
);

const Through = Type.Object(
  {
    through: Type.Optional(
      Type.Integer({ description: 'The last message to go, with all before it. Required.' }),
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
    // Where the latest are is known when the broker has said how many there have been.
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
          summary: 'The messages that a room keeps',
          description: 'The room need not be one that somebody is in.',
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
        // As text: `data` is JSON already, and may be a megabyte.
        return reply.send(write(room, past, to) as never);
      },
    );

    app.delete(
      '/v1/rooms/:room/messages',
      {
        schema: {
          operationId: 'purgeMessages',
          summary: 'Let go of messages that a room keeps',
          description:
            'The numbers go on and the epoch stays. Members that come back for these messages are told a gap.',
          tags: ['messages'],
          params: RoomParams,
          querystring: Through,
          response: {
            204: Type.Null({ description: 'They are kept no longer.' }),
            ...failures(...REFUSED, 'worker_unavailable'),
          },
        },
        // Each lets go of what it has read of it as well.
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
    throw new Refusal('bad_position', 'last comes with from or to; ask for the one or the other.');
  }
  const range = {
    from: from === undefined ? 1 : checkSeq(from, 'from', 1),
    to: to === undefined ? Number.MAX_SAFE_INTEGER : checkSeq(to, 'to', 1),
    last: last === undefined ? undefined : checkSeq(last, 'last', 1),
  };
  if (range.from > range.to) {
    throw new Refusal(
      'bad_position',
      `from is ${range.from}, to is ${range.to}; from may not be the larger.`,
    );
  }
  return range;
}

/** The text of a page; `to` is the last message that was asked for. */
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
