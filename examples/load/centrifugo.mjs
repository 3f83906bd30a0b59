/**
 * Centrifugo's JSON protocol. A room is a channel. Centrifugo's configuration defines what clients may
 * do (allow_subscribe_for_client, allow_publish_for_subscriber …). Pass a token in CENTRIFUGO_TOKEN.
 *
 *     roomcast load ws://127.0.0.1:8000 --protocol centrifugo.mjs
 */
const token = process.env['CENTRIFUGO_TOKEN'];

/** Replies repeat the id of their command. @typedef {{ ids: number, asked: Map<number, string> }} State */

/** @type {import('roomcast/load').Protocol<State>} */
export default {
  name: 'centrifugo',
  path: '/connection/websocket',

  state: () => ({ ids: 0, asked: new Map() }),

  open(connection) {
    const id = ++connection.state.ids;
    connection.send(JSON.stringify({ id, connect: token ? { token } : {} }));
  },

  join(connection, room) {
    const id = ++connection.state.ids;
    connection.state.asked.set(id, room);
    connection.send(JSON.stringify({ id, subscribe: { channel: room } }));
  },

  leave(connection, room) {
    const id = ++connection.state.ids;
    connection.state.asked.set(id, room);
    connection.send(JSON.stringify({ id, unsubscribe: { channel: room } }));
  },

  publish(connection, room, data) {
    const id = ++connection.state.ids;
    connection.send(JSON.stringify({ id, publish: { channel: room, data } }));
  },

  decode(connection, frame) {
    // A frame may contain several replies, one per line.
    for (const line of frame.text().split('\n')) {
      if (line !== '') decodeReply(connection, /** @type {any} */ (frame.json(line)));
    }
  },
};

/** @param {import('roomcast/load').Connection<State>} connection @param {any} reply */
function decodeReply(connection, reply) {
  const { asked } = connection.state;
  if (reply.push?.pub) connection.message(reply.push.pub.data);
  else if (reply.push?.disconnect) connection.closing(reply.push.disconnect.reason);
  else if (reply.error) connection.refused(`${reply.error.code} ${reply.error.message}`);
  else if (reply.connect) connection.ready();
  else if (reply.subscribe) connection.joined(asked.get(reply.id) ?? '');
  else if (reply.unsubscribe) connection.left(asked.get(reply.id) ?? '');
  else if (Object.keys(reply).length === 0) connection.send('{}'); // a ping
}
