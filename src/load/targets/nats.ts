/**
 * NATS core over WebSocket: a room is a subject, publishing is PUB. The protocol is a byte stream whose
 * messages need not end where frames do, so the incomplete end of a frame is kept for the next frame.
 */
import type { Connection, Protocol } from '../protocol.js';
import { PAYLOAD_MAX } from '../wire/wire.js';
import { ProtocolViolation } from './link.js';

const CR = 0x0d;
const LF = 0x0a;
const M = 0x4d;
const ZERO = 0x30;
const SPACE = 0x20;
/** Characters of an invalid line that error messages show. */
const LINE_SHOWN = 60;
/** Largest incomplete rest: a message with its line. A longer line is refused. */
const REST_MAX = PAYLOAD_MAX + 64 * 1024;
const CONNECT = `CONNECT ${JSON.stringify({
  verbose: false,
  pedantic: false,
  lang: 'roomcast-load',
  version: '1',
  protocol: 1,
  echo: true,
})}\r\n`;

interface State {
  rest: Buffer;
  readonly rooms: string[];
  /** One action per expected PONG: for the connect, or the join or leave of a room. */
  readonly pongs: (() => void)[];
  greeted: boolean;
}

type NatsConnection = Connection<State>;

export const NATS: Protocol<State> = {
  name: 'nats',
  frames: 'binary',

  state: () => ({ rest: Buffer.alloc(0), rooms: [], pongs: [], greeted: false }),

  /** Nothing to do: the PONG after our CONNECT shows that the connection is ready. */
  open() {},

  join(connection, room) {
    const { rooms, pongs } = connection.state;
    rooms.push(room);
    pongs.push(() => connection.joined(room));
    send(connection, `SUB ${room} ${rooms.length}\r\nPING\r\n`);
  },

  leave(connection, room) {
    const { rooms, pongs } = connection.state;
    pongs.push(() => connection.left(room));
    send(connection, `UNSUB ${rooms.lastIndexOf(room) + 1}\r\nPING\r\n`);
  },

  publish(connection, room, data) {
    send(connection, `PUB ${room} ${data.length}\r\n${data}\r\n`);
  },

  decode(connection, { buf, start, end }) {
    const { state } = connection;
    if (state.rest.length === 0) {
      const at = commands(connection, buf, start, end);
      if (at < end) state.rest = Buffer.from(buf.subarray(at, end));
    } else {
      const whole = Buffer.concat([state.rest, buf.subarray(start, end)]);
      state.rest = whole.subarray(commands(connection, whole, 0, whole.length));
    }
    if (state.rest.length > REST_MAX) throw new ProtocolViolation('sent a line longer than 64 MiB');
  },
};

function send(connection: NatsConnection, text: string): void {
  connection.send(Buffer.from(text, 'latin1'));
}

/** Handles every complete protocol message in `buf[start, end)`; returns where the rest starts. */
function commands(connection: NatsConnection, buf: Buffer, start: number, end: number): number {
  let at = start;
  while (at < end) {
    const newline = buf.indexOf(LF, at);
    if (newline < 0 || newline >= end) break;
    if (buf[at] === M) {
      const body = newline + 1;
      const next = body + sizeBefore(buf, at, newline) + 2;
      if (!(next <= end)) break;
      connection.messageIn(buf, body, next - 2);
      at = next;
    } else {
      line(connection, buf.toString('latin1', at, newline - 1));
      at = newline + 1;
    }
  }
  return at;
}

function line(connection: NatsConnection, text: string): void {
  const { state } = connection;
  if (text.startsWith('INFO')) {
    if (state.greeted) return;
    state.greeted = true;
    state.pongs.push(() => connection.ready());
    send(connection, `${CONNECT}PING\r\n`);
  } else if (text === 'PONG') state.pongs.shift()?.();
  else if (text === 'PING') send(connection, 'PONG\r\n');
  else if (text.startsWith('-ERR')) {
    connection.closing(text.slice(5));
    connection.refused(text.slice(5));
  }
}

/** The payload size at the end of the line `buf[start, newline)`: `MSG <subject> <sid> <size>\r\n`. */
function sizeBefore(buf: Buffer, start: number, newline: number): number {
  const last = newline - (buf[newline - 1] === CR ? 2 : 1);
  let size = 0;
  let scale = 1;
  let at = last;
  for (; at > start && buf[at] !== SPACE; at--) {
    const digit = buf[at]! - ZERO;
    size = digit >= 0 && digit <= 9 ? size + digit * scale : Number.NaN;
    scale *= 10;
  }
  if (at > start && at < last && size <= PAYLOAD_MAX) return size;
  const line = buf.toString('latin1', start, Math.min(newline, start + LINE_SHOWN)).trimEnd();
  throw new ProtocolViolation(`sent a line that is not NATS: ${JSON.stringify(line)}`);
}
