/**
 * A WebSocket peer at byte level: it may send what no library would, and stop reading. It parses what
 * the server sends, strictly by RFC 6455, and answers nothing by itself, neither pings nor a close.
 */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import type { Received } from './fake-transport.js';
import { Signal } from './signal.js';

export const CONTINUATION = 0;
export const TEXT = 1;
export const BINARY = 2;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;
/** The code that stands for a close frame without one. */
const NO_CODE = 1005;

export interface FrameOptions {
  readonly opcode?: number;
  readonly isFinal?: boolean;
  /** The three reserved bits, as in the first byte: 0x40, 0x20, 0x10. */
  readonly reserved?: number;
  readonly isMasked?: boolean;
  /** Four bytes. */
  readonly mask?: readonly number[];
  /** Replaces the true length. */
  readonly length?: number | bigint;
  /** Bits of the length field: 7, 16 or 64; by default the smallest that fits. */
  readonly lengthBits?: 7 | 16 | 64;
}

/** A valid or invalid client frame. */
export function frame(payload: string | Buffer, options: FrameOptions = {}): Buffer {
  const data = typeof payload === 'string' ? Buffer.from(payload) : payload;
  const { opcode = TEXT, isFinal = true, reserved = 0, isMasked = true } = options;
  const { mask = [0x12, 0x34, 0x56, 0x78], length = data.length } = options;
  const { lengthBits = length < 126 ? 7 : length < 65_536 ? 16 : 64 } = options;
  const head = Buffer.alloc(2 + { 7: 0, 16: 2, 64: 8 }[lengthBits]);
  head[0] = (isFinal ? 0x80 : 0) | reserved | opcode;
  head[1] = (isMasked ? 0x80 : 0) | { 7: Number(length), 16: 126, 64: 127 }[lengthBits];
  if (lengthBits === 16) head.writeUInt16BE(Number(length), 2);
  if (lengthBits === 64) head.writeBigUInt64BE(BigInt(length), 2);
  if (!isMasked) return Buffer.concat([head, data]);
  const masked = data.map((byte, at) => byte ^ mask[at % 4]!);
  return Buffer.concat([head, Buffer.from(mask), masked]);
}

export const json = (value: object): Buffer => frame(JSON.stringify(value));

interface ReadFrame {
  readonly opcode: number;
  readonly payload: Buffer;
}

export interface RawPeer {
  readonly socket: Socket;
  /** Status of the answer to the upgrade. */
  readonly status: number;
  readonly head: string;
  /** Every frame so far. */
  readonly frames: readonly ReadFrame[];
  /** Events in the text frames so far, with SockJS framing removed. */
  readonly events: readonly Received[];
  /** The code in the close frame, once there is one. */
  readonly code: number | null;
  /** The connection has ended. */
  readonly isGone: boolean;
  /** Writes, and waits until the kernel has taken the bytes or the connection has ended. */
  write(bytes: Buffer): Promise<void>;
  until(condition: () => boolean): Promise<void>;
}

/** The bytes of an upgrade request; a null header is left out. */
export const upgrade = (
  path: string,
  headers: Readonly<Record<string, string | null>> = {},
  method = 'GET',
  version = '1.1',
) => {
  const all: Record<string, string | null> = {
    Host: 'test',
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
    ...headers,
  };
  const lines = Object.entries(all).filter(([, value]) => value !== null);
  const text = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return `${method} ${path} HTTP/${version}\r\n${text}\r\n`;
};

/** The first server frame in these bytes, and its end; null if incomplete. */
function firstFrame(bytes: Buffer): (ReadFrame & { readonly end: number }) | null {
  if (bytes.length < 2) return null;
  const [first, second] = bytes as unknown as [number, number];
  if ((first & 0xf0) !== 0x80 || second >= 0x80) throw new Error('not a whole, unmasked frame');
  const start = second === 127 ? 10 : second === 126 ? 4 : 2;
  if (bytes.length < start) return null;
  const length =
    start === 2 ? second : start === 4 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
  if (length < { 2: 0, 4: 126, 10: 65_536 }[start]!) throw new Error('a length in too many bytes');
  const end = start + length;
  if (bytes.length < end) return null;
  return { opcode: first & 0x0f, payload: bytes.subarray(start, end), end };
}

function eventsIn(text: string): readonly Received[] {
  if (text.startsWith('{')) return [JSON.parse(text) as Received];
  if (text.startsWith('a')) return (JSON.parse(text.slice(1)) as string[]).flatMap(eventsIn);
  return [];
}

/** Only open sockets are referenced, since a test may count what is held. */
const open = new Set<Socket>();
const destroyOpen = () => {
  for (const socket of open) socket.destroy();
};

/** Resolves with the peer once it is upgraded and welcomed, or with the status of the refusal. */
export async function connectRawWebSocket(
  url: string,
  path = '/ws',
  headers: Readonly<Record<string, string | null>> = {},
): Promise<RawPeer> {
  const peer = await connectRaw(url, upgrade(path, headers));
  if (peer.status === 101) await peer.until(() => peer.events.length > 0);
  return peer;
}

/** Sends these bytes first, as the upgrade request; resolves once the server has answered. */
export async function connectRaw(url: string, request: string | Buffer): Promise<RawPeer> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  open.add(socket);
  onTestFinished(destroyOpen);
  const changed = new Signal();
  const frames: ReadFrame[] = [];
  const events: Received[] = [];
  let head = '';
  let rest = Buffer.alloc(0);
  let status = 0;
  let code: number | null = null;
  let isGone = false;

  const read = () => {
    for (;;) {
      const next = firstFrame(rest);
      if (next === null) return;
      if (code !== null) throw new Error(`a frame behind the close frame: ${next.opcode}`);
      const { opcode, payload } = next;
      rest = rest.subarray(next.end);
      frames.push({ opcode, payload });
      if (opcode === TEXT) events.push(...eventsIn(payload.toString()));
      if (opcode === CLOSE) code = payload.length === 0 ? NO_CODE : payload.readUInt16BE(0);
    }
  };
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    const end = rest.indexOf('\r\n\r\n');
    if (status === 0 && end >= 0) {
      head = rest.toString('latin1', 0, end);
      status = Number(/^HTTP\/1.1 (\d+)/.exec(head)?.[1]);
      rest = rest.subarray(end + 4);
    }
    if (status === 101) read();
    changed.fire();
  });
  // A connection reset is an expected end.
  socket.on('error', () => {});
  socket.on('close', () => {
    open.delete(socket);
    isGone = true;
    changed.fire();
  });
  const until = async (condition: () => boolean) => {
    await changed.until(() => condition() || isGone);
    if (!condition()) throw new Error(`The connection is gone; it has read ${code}, ${head}`);
  };
  socket.write(request);
  await until(() => status !== 0);
  return {
    socket,
    frames,
    events,
    get head() {
      return head;
    },
    until,
    get status() {
      return status;
    },
    get code() {
      return code;
    },
    get isGone() {
      return isGone;
    },
    // The callback gets an error if the connection ends first.
    write: (bytes) =>
      new Promise((resolve) => {
        socket.write(bytes, () => resolve());
      }),
  };
}
