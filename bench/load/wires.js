/**
 * The protocol of each server: the path to dial, the frames to join, the frame to publish, and the bytes
 * that the server adds to the data of a message. The rest of the load treats all servers alike: it counts
 * markers in the received bytes and knows no protocol.
 *
 * @typedef {object} Wire
 * @property {(room: string) => string} path
 * @property {1 | 2} [opcode] of sent frames: 1 text (default), 2 binary
 * @property {boolean} [streaming] members read over SockJS xhr-streaming instead of a WebSocket
 * @property {(room: string) => string[]} opening frames sent, in this order, once connected
 * @property {(room: string, data: string) => string} publish payload of the frame that publishes `data`
 * @property {(room: string, size: number) => number} delivered bytes on the wire of one message with
 *   `size` bytes of data, including a frame header of 4
 */
import { hs256 } from './tokens.js';

const HEADER = 4;
const USER = 'bench';

/** @param {string} room @param {number} size */
const roomcastEvent = (room, size) =>
  JSON.stringify({
    type: 'message',
    room,
    seq: 12345,
    from: 'AAAAAAAAAAAA',
    at: 1_764_000_000_000,
    data: 'x'.repeat(size),
  });

/** @param {string} room @param {string} data */
const roomcastPublish = (room, data) => JSON.stringify({ type: 'publish', room, data });

/** @param {string} room */
const roomcastJoin = (room) => JSON.stringify({ type: 'join', room });

/** @param {string} message */
const sockjsQuoted = (message) => JSON.stringify([message]);

/** A SockJS server id, and a session id that is unique in this process. */
const sockjsSession = () =>
  `/sockjs/000/${Math.random().toString(36).slice(2, 10)}${(sessions++).toString(36)}`;
let sessions = 0;

/** @type {Wire} */
const sockjs = {
  path: () => `${sockjsSession()}/websocket`,
  opening: (room) => [sockjsQuoted(roomcastJoin(room))],
  publish: (room, data) => sockjsQuoted(roomcastPublish(room, data)),
  delivered: (room, size) => HEADER + 1 + sockjsQuoted(roomcastEvent(room, size)).length,
};

/** With tokens. @type {Wire} */
const known = {
  path: () => '/ws',
  opening: (room) => [JSON.stringify({ type: 'auth', token: hs256(USER) }), roomcastJoin(room)],
  publish: roomcastPublish,
  delivered: (room, size) => HEADER + roomcastEvent(room, size).length + `"user":"${USER}",`.length,
};

/** A user that is unique in this process; the name has the length of `USER`. */
const someUser = () => `${users++}`.padStart(USER.length, '0');
let users = 0;

/** @satisfies {Record<string, Wire>} */
export const wires = {
  roomcast: {
    path: () => '/ws',
    opening: (room) => [roomcastJoin(room)],
    publish: roomcastPublish,
    delivered: (room, size) => HEADER + roomcastEvent(room, size).length,
  },
  'roomcast-known': known,
  /** With tokens of a user each, and presence. */
  'roomcast-present': {
    ...known,
    opening: (room) => [
      JSON.stringify({ type: 'auth', token: hs256(someUser()) }),
      JSON.stringify({ type: 'join', room, presence: true }),
    ],
  },
  sockjs,
  'sockjs-streaming': {
    ...sockjs,
    path: () => `${sockjsSession()}/xhr_streaming`,
    streaming: true,
    // A chunk's length and line ends instead of the frame header.
    delivered: (room, size) => sockjs.delivered(room, size) - HEADER + 8,
  },
  /** A server that relays each message to the members of a path: the `ws` loop and Bun. */
  relay: {
    path: (room) => `/${room}`,
    opening: () => [],
    publish: (_room, data) => data,
    delivered: (_room, size) => HEADER + size,
  },
  'socket.io': {
    path: (room) => `/socket.io/?EIO=4&transport=websocket&room=${room}`,
    opening: () => ['40'],
    publish: (room, data) => `42${JSON.stringify(['publish', room, data])}`,
    delivered: (_room, size) => HEADER + 2 + JSON.stringify(['m', '']).length + size,
  },
  nchan: {
    path: (room) => `/${room.replace(':', '.')}`,
    opening: () => [],
    publish: (_room, data) => data,
    delivered: (_room, size) => HEADER + size,
  },
  nats: {
    path: () => '/',
    opcode: 2,
    opening: (room) => ['CONNECT {"verbose":false}\r\n', `SUB ${room} 1\r\n`],
    publish: (room, data) => `PUB ${room} ${data.length}\r\n${data}\r\n`,
    delivered: (room, size) => HEADER + `MSG ${room} 1 ${size}\r\n`.length + size + '\r\n'.length,
  },
};

/**
 * The data size with which a server delivers as many bytes per message as roomcast does for `size`, so
 * that no server is faster because it carries less.
 *
 * @param {Wire} wire
 * @param {string} room
 * @param {number} size bytes of data in roomcast's message
 */
export function dataSize(wire, room, size) {
  if (wire === wires.roomcast || wire === sockjs || wire.streaming) return size;
  return size + wires.roomcast.delivered(room, size) - wire.delivered(room, size);
}
