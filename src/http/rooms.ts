/** What rooms there are. */
import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { Refusal } from '../errors.js';
import { roomInfo } from '../info.js';
import { checkRoom } from '../protocol/fields.js';
import type { HttpDeps } from './deps.js';
import { failures } from './failures.js';
import { roomName } from './room-name.js';
import { Limit, top } from './top.js';

const RoomInfo = Type.Object(
  {
    room: Type.String(),
    members: Type.Integer(),
    seq: Type.Integer({ description: 'Of the latest message.' }),
    epoch: Type.String({ description: 'The order that `seq` counts in; a new one starts over.' }),
  },
  { description: 'A room somebody is in.' },
);

const Rooms = Type.Object(
  {
    total: Type.Integer({ description: 'Rooms there are, in the list or not.' }),
    rooms: Type.Array(RoomInfo, { description: 'Those with most members first.' }),
  },
  { description: 'The largest rooms.' },
);

export function rooms({ hub, limits }: HttpDeps): FastifyPluginCallbackTypebox {
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
      },
      ({ query }) => {
        // Not those that only begin to be, or have just ended.
        const all = Array.from(hub.rooms.values()).filter((room) => room.size > 0);
        const largest = top(all, (room) => room.size, query.limit);
        return { total: all.length, rooms: largest.map(roomInfo) };
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
          response: { 200: RoomInfo, ...failures('bad_room', 'not_found') },
        },
      },
      ({ params }) => {
        const name = checkRoom(params.room, limits);
        const room = hub.rooms.get(name);
        if (!room?.size) throw new Refusal('not_found', `Nobody is in ${name}.`);
        return roomInfo(room);
      },
    );
    done();
  };
}
