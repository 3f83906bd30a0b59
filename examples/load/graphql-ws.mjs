/**
 * GraphQL over WebSocket (graphql-ws, subprotocol graphql-transport-ws) with this schema:
 *
 *     type Mutation { publish(room: String!, data: String!): Boolean! }
 *     type Subscription { message(room: String!): String! }
 *
 *     roomcast load ws://127.0.0.1:4000/graphql --protocol graphql-ws.mjs
 *
 * The server does not answer a subscription; the pong to a ping sent after it shows that it was read.
 */
const SUBSCRIBE = 'subscription ($room: String!) { message(room: $room) }';
const PUBLISH = 'mutation ($room: String!, $data: String!) { publish(room: $room, data: $data) }';

/** @typedef {{ ids: number, pending: string[] }} State `pending`: rooms that wait for their pong */

/** @type {import('roomcast/load').Protocol<State>} */
export default {
  name: 'graphql-ws',
  path: '/graphql',
  subprotocol: 'graphql-transport-ws',

  state: () => ({ ids: 0, pending: [] }),

  open(connection) {
    connection.send('{"type":"connection_init"}');
  },

  join(connection, room) {
    const payload = { query: SUBSCRIBE, variables: { room } };
    connection.send(JSON.stringify({ id: `room ${room}`, type: 'subscribe', payload }));
    connection.state.pending.push(room);
    connection.send('{"type":"ping"}');
  },

  leave(connection, room) {
    connection.send(JSON.stringify({ id: `room ${room}`, type: 'complete' }));
    connection.left(room);
  },

  publish(connection, room, data) {
    const payload = { query: PUBLISH, variables: { room, data } };
    const id = `publish ${++connection.state.ids}`;
    connection.send(JSON.stringify({ id, type: 'subscribe', payload }));
  },

  decode(connection, frame) {
    const { type, id, payload } = /** @type {any} */ (frame.json());
    if (type === 'next' && payload.errors) connection.refused(payload.errors[0].message);
    else if (type === 'next' && id.startsWith('room ')) connection.message(payload.data.message);
    else if (type === 'connection_ack') connection.ready();
    else if (type === 'pong') connection.joined(connection.state.pending.shift() ?? '');
    else if (type === 'ping') connection.send('{"type":"pong"}');
    else if (type === 'error') connection.refused(payload[0].message);
  },
};
