/**
 * Phoenix channels, version 2 of the serializer: [join_ref, ref, topic, event, payload]. A room is a
 * topic; the server needs a matching `channel` line. A publish pushes the event "publish"; the channel
 * must `broadcast!(socket, "publish", payload)`, which also reaches the sender.
 *
 *     roomcast load ws://127.0.0.1:4000 --protocol phoenix.mjs --room-prefix room:
 */

/** @typedef {{ refs: number, joins: Map<string, string> }} State `joins`: join_ref by topic */

/** @type {import('roomcast/load').Protocol<State>} */
export default {
  name: 'phoenix',
  path: '/socket/websocket?vsn=2.0.0',
  heartbeatMs: 30_000,

  state: () => ({ refs: 0, joins: new Map() }),

  open(connection) {
    connection.ready();
  },

  join(connection, room) {
    const ref = String(++connection.state.refs);
    connection.state.joins.set(room, ref);
    connection.send(JSON.stringify([ref, ref, room, 'phx_join', {}]));
  },

  leave(connection, room) {
    const ref = String(++connection.state.refs);
    connection.send(JSON.stringify([connection.state.joins.get(room), ref, room, 'phx_leave', {}]));
  },

  publish(connection, room, data) {
    const ref = String(++connection.state.refs);
    const joined = connection.state.joins.get(room);
    connection.send(JSON.stringify([joined, ref, room, 'publish', { data }]));
  },

  heartbeat(connection) {
    const ref = String(++connection.state.refs);
    connection.send(JSON.stringify([null, ref, 'phoenix', 'heartbeat', {}]));
  },

  decode(connection, frame) {
    const [joined, ref, topic, event, payload] = /** @type {any[]} */ (frame.json());
    if (event === 'publish') connection.message(payload.data);
    else if (event === 'phx_close') connection.left(topic);
    else if (event === 'phx_error') connection.refused('phx_error');
    else if (event === 'phx_reply' && payload.status === 'error') {
      connection.refused(payload.response.reason ?? 'error');
    } else if (event === 'phx_reply' && joined !== null && joined === ref) connection.joined(topic);
  },
};
