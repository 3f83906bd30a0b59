/**
 * Pusher Channels, protocol 7, as implemented by soketi, Reverb and sockudo. A room is a private
 * channel. A publish is a client event, so enable client events for the app and raise their rate limit.
 * The sender does not receive its own client event, so publishers must be separate connections, which is
 * the default.
 *
 *     PUSHER_KEY=app-key PUSHER_SECRET=app-secret \
 *       roomcast load ws://127.0.0.1:6001 --protocol pusher.mjs
 */
import { createHmac } from 'node:crypto';

const { PUSHER_KEY: key = 'app-key', PUSHER_SECRET: secret = 'app-secret' } = process.env;

/** Channel names cannot contain a colon. @param {string} room */
const channelOf = (room) => `private-${room.replaceAll(':', '.')}`;

/** @typedef {{ socketId: string, rooms: Map<string, string> }} State `rooms`: room by channel */

/** @type {import('roomcast/load').Protocol<State>} */
export default {
  name: 'pusher',
  path: `/app/${key}?protocol=7&client=roomcast-load&version=1`,
  heartbeatMs: 20_000,

  state: () => ({ socketId: '', rooms: new Map() }),

  open() {}, // The server sends the first frame.

  join(connection, room) {
    const channel = channelOf(room);
    const { rooms, socketId } = connection.state;
    rooms.set(channel, room);
    const signature = createHmac('sha256', secret).update(`${socketId}:${channel}`).digest('hex');
    const data = { channel, auth: `${key}:${signature}` };
    connection.send(JSON.stringify({ event: 'pusher:subscribe', data }));
  },

  leave(connection, room) {
    const data = { channel: channelOf(room) };
    connection.send(JSON.stringify({ event: 'pusher:unsubscribe', data }));
    connection.left(room);
  },

  publish(connection, room, data) {
    connection.send(JSON.stringify({ event: 'client-message', channel: channelOf(room), data }));
  },

  heartbeat(connection) {
    connection.send('{"event":"pusher:ping","data":{}}');
  },

  decode(connection, frame) {
    const { event, channel, data } = /** @type {any} */ (frame.json());
    if (event === 'client-message') connection.message(data);
    else if (event === 'pusher:connection_established') {
      connection.state.socketId = /** @type {any} */ (frame.json(data)).socket_id;
      connection.ready();
    } else if (event === 'pusher_internal:subscription_succeeded') {
      connection.joined(connection.state.rooms.get(channel) ?? '');
    } else if (event === 'pusher:subscription_error') connection.refused('subscription_error');
    else if (event === 'pusher:error') connection.refused(`${data.code} ${data.message}`);
    else if (event === 'pusher:ping') connection.send('{"event":"pusher:pong","data":{}}');
  },
};
