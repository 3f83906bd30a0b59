/**
 * How a member speaks to each server: the path it dials, what it says to join, how it publishes, and
 * how many bytes the server puts around the data of a message. With these the load side treats every
 * server alike: it counts a marker in whatever bytes come back and knows no protocol beyond this page.
 *
 * @typedef {object} Wire
 * @property {(room: string) => string} path
 * @property {1 | 2} [opcode] of the frames sent: 1 text (default), 2 binary
 * @property {boolean} [streaming] members read over SockJS xhr-streaming instead of a WebSocket
 * @property {(room: string) => string[]} opening frames sent, in this order, once connected
 * @property {(room: string, data: string) => string} publish payload of the frame that publishes `data`
 * @property {(room: string, size: number) => number} delivered bytes on the wire of one message of
 *   `size` bytes of data, a frame header of 4 included
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

/** A SockJS server id, and a session id no other member of this process has. */
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

/** Where members say who they are. @type {Wire} */
const known = {
  path: () => '/ws',
  opening: (room) => [JSON.stringify({ type: 'auth', token: hs256(USER) }), roomcastJoin(room)],
  publish: roomcastPublish,
  delivered: (room, size) => HEADER + roomcastEvent(room, size).length + `"user":"${USER}",`.length,
};

/** A user no other member of this process is, whose name is as long. */
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
  /** The same where each is somebody else, and is told who is in the room. */
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
    // A chunk's length and line ends instead of the frame's header.
    delivered: (room, size) => sockjs.delivered(room, size) - HEADER + 8,
  },
  /** A server that sends to a path's members whatever one of them sent: the `ws` loop and Bun. */
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
 * The size of data that makes a server deliver as many bytes a message as roomcast does for `size`,
 * so that no server is the faster for carrying less.
 *
 * @param {Wire} wire
 * @param {string} room
 * @param {number} size bytes of data in roomcast's message
 */
export function dataSize(wire, room, size) {
  if (wire === wires.roomcast || wire === sockjs || wire.streaming) return size;
  return size + wires.roomcast.delivered(room, size) - wire.delivered(room, size);
}
