import { connect } from 'node:net';
import { clientFrame, controlFrame, DIGITS, MARKER_BYTES } from './frames.js';

/**
 * One member of the load: a bare TCP socket that counts markers in what it reads after the upgrade. All
 * members read into one buffer and nothing is parsed, decoded or kept, so that one core reads millions of
 * messages a second.
 */

const AT = 0x40; // '@'
const DIALS_AT_ONCE = 64;
const ROOM_FOR_TAIL = 16;
const pool = Buffer.alloc(ROOM_FOR_TAIL + 256 * 1024);
const readInto = pool.subarray(ROOM_FOR_TAIL);
const PONG = controlFrame(10);
const END_OF_STREAM = '0\r\n\r\n';

/**
 * Called with the numbers that a member has read, in order.
 * @callback OnMessages
 * @param {Member} member
 * @param {Int32Array} numbers valid only during the call
 * @param {number} count valid entries of `numbers`
 * @param {number} bytes read from the socket
 */

const numbers = new Int32Array(pool.length / MARKER_BYTES);
// Likely distance to the next marker, in bytes: the last one, since the messages of a run are alike.
let stride = 1 << 20;

export class Member {
  /** Number of the last message read, -1 before the first. */
  last = -1;
  closed = false;
  /** True once it no longer reads. */
  stalled = false;
  /** @type {import('node:net').Socket} */
  #socket;
  #tail = Buffer.alloc(ROOM_FOR_TAIL);
  #tailLength = 0;
  /** @type {OnMessages} */
  #onMessages;
  /** @type {boolean} */
  #isStream;

  /**
   * @param {import('node:net').Socket} socket
   * @param {number} room
   * @param {OnMessages} onMessages
   * @param {boolean} isStream an HTTP response, on which nothing can be sent
   */
  constructor(socket, room, onMessages, isStream) {
    this.#socket = socket;
    this.#isStream = isStream;
    this.room = room;
    this.#onMessages = onMessages;
    socket.on('error', () => {}); // 'close' follows, and is handled
    socket.on('close', () => {
      this.closed = true;
    });
  }

  /** @param {Buffer} frame */
  write(frame) {
    this.#socket.write(frame);
  }

  /** Sends an unsolicited pong (RFC 6455, 5.5.3): members parse nothing, so they cannot answer pings. */
  sayAlive() {
    if (!this.#isStream) this.#socket.write(PONG);
  }

  /** Stops reading, so that the server's writes queue up. */
  stall() {
    this.stalled = true;
    this.#socket.pause();
  }

  destroy() {
    this.#socket.destroy();
  }

  /** @param {number} bytes read into `readInto` */
  read(bytes) {
    const start = ROOM_FOR_TAIL - this.#tailLength;
    if (this.#tailLength > 0) this.#tail.copy(pool, start, 0, this.#tailLength);
    const end = ROOM_FOR_TAIL + bytes;
    this.#tailLength = 0;

    let count = 0;
    let from = start;
    while (from < end) {
      let at = from + stride - MARKER_BYTES;
      if (at + 1 >= end || pool[at] !== AT || pool[at + 1] !== AT) {
        at = pool.indexOf(AT, from);
        if (at < 0 || at >= end) break;
        if (at + 1 < end && pool[at + 1] !== AT) {
          from = at + 1;
          continue;
        }
      }
      if (at + MARKER_BYTES > end) {
        this.#tailLength = end - at;
        pool.copy(this.#tail, 0, at, end);
        break;
      }
      const number = numberAt(at + MARKER_BYTES - DIGITS);
      if (number < 0) {
        from = at + 1;
        continue;
      }
      numbers[count++] = number;
      if (count > 1) stride = at + MARKER_BYTES - from;
      from = at + MARKER_BYTES;
    }
    this.#onMessages(this, numbers, count, bytes);
  }
}

/**
 * The number whose digits begin at `start` of the pool; negative if there are none. The payload of a
 * server's ping may look like the beginning of a marker.
 *
 * @param {number} start
 */
function numberAt(start) {
  let number = 0;
  for (let i = start; i < start + DIGITS; i++) {
    const digit = /** @type {number} */ (pool[i]) - 48;
    if (digit < 0 || digit > 9) return -1;
    number = number * 10 + digit;
  }
  return number;
}

/**
 * Opens a connection and resolves once the server has upgraded it.
 *
 * @param {object} options
 * @param {number} options.port
 * @param {string} options.path
 * @param {number} options.room
 * @param {OnMessages} options.onMessages
 * @returns {Promise<Member>}
 * @throws {Error} if the connection ends or the server does not answer 101
 */
export function openWebSocket({ port, path, room, onMessages }) {
  return dial(port, room, onMessages, /^HTTP\/1.1 101/, [
    `GET ${path} HTTP/1.1`,
    `Host: 127.0.0.1:${port}`,
    'Upgrade: websocket',
    'Connection: Upgrade',
    'Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==',
    'Sec-WebSocket-Version: 13',
  ]);
}

/**
 * Opens a SockJS session over xhr-streaming, and requests the next response whenever the server ends
 * one. Commands of the member are sent by `xhr_send`, on other connections.
 *
 * @param {object} options
 * @param {number} options.port
 * @param {string} options.path ends in `/xhr_streaming`
 * @param {number} options.room
 * @param {string[]} options.opening messages to send once open
 * @param {OnMessages} options.onMessages
 * @returns {Promise<Member>}
 * @throws {Error} if the connection ends or the server does not answer 200
 */
export async function openStreaming({ port, path, room, opening, onMessages }) {
  const request = [`POST ${path} HTTP/1.1`, `Host: 127.0.0.1:${port}`, 'Content-Length: 0'];
  const member = await dial(port, room, onMessages, /^HTTP\/1.1 200/, request);
  for (const body of opening) {
    const url = `http://127.0.0.1:${port}${path.replace('xhr_streaming', 'xhr_send')}`;
    const response = await fetch(url, { method: 'POST', body });
    if (response.status !== 204) throw new Error(`xhr_send answered ${response.status}, not 204`);
  }
  return member;
}

/**
 * @param {number} port
 * @param {number} room
 * @param {OnMessages} onMessages
 * @param {RegExp} expected matches the status line
 * @param {string[]} request lines of the request head
 * @returns {Promise<Member>}
 */
function dial(port, room, onMessages, expected, request) {
  const head = Buffer.from(`${request.join('\r\n')}\r\n\r\n`);
  const streaming = expected.test('HTTP/1.1 200');
  return new Promise((resolve, reject) => {
    let answer = '';
    let open = false;
    /** @type {Member} */
    let member;
    const socket = connect({
      port,
      host: '127.0.0.1',
      noDelay: true,
      onread: {
        buffer: readInto,
        callback: (bytes) => {
          if (open) {
            member.read(bytes);
            if (
              streaming &&
              readInto.toString('latin1', bytes - END_OF_STREAM.length, bytes) === END_OF_STREAM
            ) {
              socket.write(head);
            }
            return true;
          }
          answer += readInto.toString('latin1', 0, bytes);
          const end = answer.indexOf('\r\n\r\n');
          if (end < 0) return true;
          if (expected.test(answer)) {
            open = true;
            resolve(member);
          } else {
            reject(new Error(`the server answered ${answer.slice(0, answer.indexOf('\r\n'))}`));
            socket.destroy();
          }
          return true;
        },
      },
    });
    member = new Member(socket, room, onMessages, streaming);
    socket.once('connect', () => socket.write(head));
    socket.once('close', () => reject(new Error('the connection ended before it was open')));
  });
}

/**
 * Opens `count` members, `DIALS_AT_ONCE` at a time.
 *
 * @param {number} count
 * @param {(index: number) => Promise<Member>} open
 */
export async function dialAll(count, open) {
  /** @type {Member[]} */
  const members = new Array(count);
  let next = 0;
  const dialer = async () => {
    while (next < count) {
      const index = next++;
      members[index] = await open(index);
    }
  };
  await Promise.all(Array.from({ length: DIALS_AT_ONCE }, dialer));
  return members;
}

/** @param {Member} member @param {string[]} opening @param {1 | 2} opcode */
export function say(member, opening, opcode) {
  for (const payload of opening) member.write(clientFrame(payload, opcode));
}
