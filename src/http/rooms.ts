/** What rooms there are. */
import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { type Static, Type } from 'typebox';
import { Refusal } from '../errors.js';
import { roomInfo } from '../info.js';
import { checkRoom } from '../protocol/fields.js';
import type { Room } from '../room/room.js';
import { type Outcome, Workers } from './across.js';
import type { HttpDeps } from './deps.js';
import { failures } from './failures.js';
import { roomName } from './room-name.js';
import { Limit, MAX_LIMIT, top } from './top.js';

const RoomInfo = Type.Object(
  {
    room: Type.String(),
    members: Type.Integer(),
    seq: Type.Integer({ description: 'Of the latest message.' }),
    epoch: Type.String({ description: 'The order that `seq` counts in; a new one starts over.' }),
    oldest: Type.Optional(
      Type.Integer({
        description:
          'Where messages are kept and the broker can be asked: of the oldest that is kept, of which `seq` is the newest; beyond `seq` when none is.',
      }),
    ),
    workers: Workers,
  },
  { description: 'A room somebody is in.' },
);

const Rooms = Type.Object(
  {
    total: Type.Integer({ description: 'Rooms there are, in the list or not.' }),
    rooms: Type.Array(RoomInfo, { description: 'Those with most members first.' }),
    workers: Workers,
  },
  { description: 'The largest rooms.' },
);

export function rooms({ hub, limits, peers }: HttpDeps): FastifyPluginCallbackTypebox {
  /** With where its kept messages begin; a list is an answer without a broker, too. */
  async function infoOf(room: Room): Promise<Static<typeof RoomInfo>> {
    const info = roomInfo(room);
    const { seq, epoch } = info;
    if (!hub.archive.keeps(room.name)) return info;
    const range = { from: seq + 1, to: seq + 1, maxMessages: 1, maxBytes: 1 };
    try {
      const past = await hub.archive.read(room.name, range);
      return past.epoch === epoch ? { ...info, oldest: past.oldest } : info;
    } catch (error) {
      if (error instanceof Refusal) return info;
      throw error;
    }
  }

  return (app, _options, done) => {
    app.get(
      '/v1/rooms',
      {
        schema: {
          operationId: 'listRooms',
          summary: 'The largest rooms',
          tags: ['rooms'],
          querystring: Type.Object({ limit: Limit }, { additionalProperties: false }),
          response: { 200: Rooms, ...failures('bad_command') },
        },
        // Each has a part of the members: those of each worker with most are not those of all.
        config: { across: { merge: mergeLists, url: () => `/v1/rooms?limit=${MAX_LIMIT}` } },
      },
      async ({ query }) => {
        // Not those that only begin to be, or have just ended.
        const all = Array.from(hub.rooms.values()).filter((room) => room.size > 0);
        const largest = top(all, (room) => room.size, query.limit);
        return {
          total: peers?.ownedRooms() ?? all.length,
          rooms: await Promise.all(largest.map(infoOf)),
        };
      },
    );

    app.get(
      '/v1/rooms/:room',
      {
        schema: {
          operationId: 'getRoom',
          summary: 'A room',
          tags: ['rooms'],
          params: Type.Object({ room: roomName(limits) }),
          response: { 200: RoomInfo, ...failures('bad_room', 'not_found', 'worker_unavailable') },
        },
        config: { across: { merge: (outcomes) => mergeRooms(outcomes.map(roomOf))[0] } },
      },
      async ({ params }) => {
        const name = checkRoom(params.room, limits);
        const room = hub.rooms.get(name);
        if (!room?.size) throw new Refusal('not_found', `Nobody is in ${name}.`);
        return infoOf(room);
      },
    );
    done();
  };
}

type Info = Static<typeof RoomInfo>;

const roomOf = ({ body }: Outcome) => body as Info;

/** Each room once, with the members that it has at all workers. */
export function mergeRooms<Room extends Pick<Info, 'room' | 'members' | 'seq'>>(
  all: readonly Room[],
): Room[] {
  const byName = new Map<string, Room>();
  for (const info of all) {
    const before = byName.get(info.room);
    if (before === undefined) byName.set(info.room, info);
    else {
      // Who has had more of it knows better where it is.
      const ahead = before.seq >= info.seq ? before : info;
      byName.set(info.room, { ...ahead, members: before.members + info.members });
    }
  }
  return [...byName.values()];
}

function mergeLists(outcomes: readonly Outcome[], { limit }: { readonly limit?: unknown }) {
  const lists = outcomes.map(({ body }) => body as Static<typeof Rooms>);
  const rooms = mergeRooms(lists.flatMap(({ rooms }) => rooms));
  return {
    total: lists.reduce((sum, { total }) => sum + total, 0),
    rooms: top(rooms, ({ members }) => members, limit as number | undefined),
  };
}
