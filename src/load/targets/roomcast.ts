/**
 * roomcast's protocol v1, over any transport. Reads messages in place: a frame in the server's usual
 * format costs two look-ups at known positions; any other frame is parsed as JSON.
 */
import type { Connection, Frame, Protocol } from '../protocol.js';

const KEY = Buffer.from('"seq":');
const ZERO = 0x30;
const ROOM_KEY = Buffer.from('"room":');
/** Position of the `m` of `{"type":"message"`. */
const TYPE_AT = 9;
/** Position of the room's name in `{"type":"message","room":"`. */
const ROOM_AT = 25;
const QUOTE = 0x22;
const M = 0x6d;
const COLON = 0x3a;
const Q = 0x71;

interface ServerFrame {
  type?: string;
  room?: string;
  seq?: number;
  epoch?: string;
  recover?: { result?: string };
  from?: number;
  to?: number;
  next?: number;
  missing?: [number, number][];
  messages?: { seq: number; data: unknown }[];
  id?: number;
  code?: number | string;
  reason?: string;
}

/** The `id` of backfill requests; distinguishes their refusal from that of a publish or a join. */
const HISTORY = 4;

/** Results of a join with a position after which everything since the position follows. */
const CONTINUES: ReadonlySet<string | undefined> = new Set(['complete', 'partial']);

/** Last position of a message's sequence number, from the start of its frame. */
interface State {
  seqFromStart: number;
}

export const ROOMCAST: Protocol<State> = {
  name: 'roomcast',
  path: '/ws',
  numbered: true,
  positions: true,

  state: () => ({ seqFromStart: 0 }),

  /** The server's `welcome` follows. */
  open() {},

  join(connection, room, since) {
    connection.send(JSON.stringify({ type: 'join', id: 1, room, since }));
  },

  leave(connection, room) {
    connection.send(JSON.stringify({ type: 'leave', id: 2, room }));
  },

  publish(connection, room, data, confirm) {
    const id = confirm ? '"id":3,' : '';
    connection.send(`{"type":"publish",${id}"room":${JSON.stringify(room)},"data":"${data}"}`);
  },

  backfill(connection, room, from, to) {
    connection.send(JSON.stringify({ type: 'history', id: HISTORY, room, from, to }));
  },

  decode(connection, frame) {
    const { buf, start, end } = frame;
    if (buf[start + TYPE_AT] !== M) parsed(connection, frame);
    else {
      const seq = seqIn(connection.state, buf, start, end);
      connection.messageIn(buf, start, end, seq, roomIn(buf, start, end));
    }
  },
};

function seqIn(state: State, buf: Buffer, start: number, end: number): number {
  let at = start + state.seqFromStart;
  if (state.seqFromStart === 0 || buf[at - 1] !== COLON || buf[at - 3] !== Q) {
    const key = buf.indexOf(KEY, start);
    if (key < 0 || key >= end) return -1;
    at = key + KEY.length;
    state.seqFromStart = at - start;
  }
  let seq = 0;
  for (;;) {
    const digit = buf[at]! - ZERO;
    // Past the end of the buffer the digit is NaN, which ends the number too.
    if (!(digit >= 0 && digit <= 9)) return seq;
    seq = seq * 10 + digit;
    at++;
  }
}

/** Position of the room's name: the usual one, or after the first `"room":`; -1 if there is none. */
function roomIn(buf: Buffer, start: number, end: number): number {
  const usual = start + ROOM_AT;
  if (buf[usual] === QUOTE && buf[usual - 1] === COLON && buf[usual - 3] === M) return usual;
  const key = buf.indexOf(ROOM_KEY, start);
  return key >= 0 && key < end ? key + ROOM_KEY.length : -1;
}

function parsed(connection: Connection<State>, frame: Frame): void {
  const {
    type,
    room = '',
    seq = -1,
    epoch,
    recover,
    from = -1,
    to = -1,
    code,
    reason,
    id,
    next,
    missing = [],
    messages = [],
  } = frame.json() as ServerFrame;
  switch (type) {
    case 'welcome':
      connection.ready();
      break;
    case 'joined':
      connection.joined(room, seq, epoch, CONTINUES.has(recover?.result));
      break;
    case 'left':
      connection.left(room);
      break;
    case 'gap':
      connection.gap(room, from, to);
      break;
    case 'published':
      connection.confirmed(room, seq);
      break;
    case 'error':
      if (id === HISTORY) connection.refusedPast(String(code));
      else connection.refused(String(code));
      break;
    case 'past':
      for (const { seq, data } of messages) {
        if (typeof data === 'string') connection.past(room, seq, data);
      }
      break;
    case 'history':
      connection.answered(room, next === undefined ? to : next - 1, missing);
      break;
    case 'closing':
      connection.closing(`${code} ${reason ?? ''}`.trim());
      break;
    case 'message': {
      const { buf, start, end } = frame;
      connection.messageIn(buf, start, end, seq, roomIn(buf, start, end));
    }
  }
}
