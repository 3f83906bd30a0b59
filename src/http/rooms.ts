/** Routes that list the rooms and show one of them. */
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
    seq: Type.Integer({ description: 'Sequence number of the latest message.' }),
    epoch: Type.String({ description: 'Epoch of `seq`; a new epoch restarts the numbering.' }),
    oldest: Type.Optional(
      Type.Integer({
        description:
          'Sequence number of the oldest message in the history; `seq` + 1 if the history is empty. Absent if the room keeps none or the broker cannot be read.',
      }),
    ),
    workers: Workers,
  },
  { description: 'A room with at least one member.' },
);

const Rooms = Type.Object(
  {
    total: Type.Integer({ description: 'Number of rooms, including those not listed.' }),
    rooms: Type.Array(RoomInfo, { description: 'Sorted by members, largest first.' }),
    workers: Workers,
  },
  { description: 'The largest rooms.' },
);

export function rooms({ hub, limits, peers }: HttpDeps): FastifyPluginCallbackTypebox {
  /** Adds `oldest` if the room keeps messages. If the broker cannot be read, the answer omits it. */
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
        // A room's members are spread over the workers, so the largest rooms of each worker need not be
        // the largest overall.
        config: { across: { merge: mergeLists, url: () => `/v1/rooms?limit=${MAX_LIMIT}` } },
      },
      async ({ query }) => {
        // Rooms without members are being created or removed.
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
        if (!room?.size) throw new Refusal('not_found', `The room ${name} has no members.`);
        return infoOf(room);
      },
    );
    done();
  };
}

type Info = Static<typeof RoomInfo>;

const roomOf = ({ body }: Outcome) => body as Info;

/** Merges the workers' entries of each room and adds up its members. */
export function mergeRooms<Room extends Pick<Info, 'room' | 'members' | 'seq'>>(
  all: readonly Room[],
): Room[] {
  const byName = new Map<string, Room>();
  for (const info of all) {
    const before = byName.get(info.room);
    if (before === undefined) byName.set(info.room, info);
    else {
      // The worker with the higher `seq` has the more recent state.
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
