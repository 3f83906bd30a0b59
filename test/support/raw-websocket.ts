/**
 * A WebSocket peer made of bytes: it may send what no library would, and not read. What the server
 * sends is taken apart; nothing is answered by itself, neither pings nor a close.
 */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import type { Received } from './fake-transport.js';
import { Signal } from './signal.js';

const TEXT = 1;
export const BINARY = 2;
export const CLOSE = 8;
export const PING = 9;
/** What a close frame without a code stands for. */
const NO_CODE = 1005;

export interface FrameOptions {
  readonly opcode?: number;
  readonly isFinal?: boolean;
  /** The three reserved bits, as in the first byte: 0x40, 0x20, 0x10. */
  readonly reserved?: number;
  readonly isMasked?: boolean;
  /** In place of the true length. */
  readonly length?: number;
}

/** A frame as a client sends it, or as it should not. */
export function frame(payload: string | Buffer, options: FrameOptions = {}): Buffer {
  const data = typeof payload === 'string' ? Buffer.from(payload) : payload;
  const { opcode = TEXT, isFinal = true, reserved = 0, isMasked = true } = options;
  const { length = data.length } = options;
  const head = [(isFinal ? 0x80 : 0) | reserved | opcode];
  const bit = isMasked ? 0x80 : 0;
  if (length < 126) head.push(bit | length);
  else if (length < 65_536) head.push(bit | 126, length >> 8, length & 0xff);
  else {
    const long = Buffer.alloc(8);
    long.writeBigUInt64BE(BigInt(length));
    head.push(bit | 127, ...long);
  }
  if (!isMasked) return Buffer.concat([Buffer.from(head), data]);
  const mask = Buffer.from([0x12, 0x34, 0x56, 0x78]);
  const masked = data.map((byte, at) => byte ^ mask[at % 4]!);
  return Buffer.concat([Buffer.from(head), mask, masked]);
}

export const json = (value: object): Buffer => frame(JSON.stringify(value));

export interface RawPeer {
  readonly socket: Socket;
  /** Events of the text frames so far. */
  readonly events: readonly Received[];
  /** The code in the close frame, once there is one. */
  readonly code: number | null;
  /** The connection is gone. */
  readonly isGone: boolean;
  /** Writes, and waits until the kernel has taken it or the connection is gone. */
  write(bytes: Buffer): Promise<void>;
  until(condition: () => boolean): Promise<void>;
}

const upgrade = (path: string, headers: Readonly<Record<string, string | null>>) => {
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
  return `GET ${path} HTTP/1.1\r\n${text}\r\n`;
};

/** Beside the test that opened them, which may count what is held, nobody holds those that are gone. */
const open = new Set<Socket>();
const destroyOpen = () => {
  for (const socket of open) socket.destroy();
};

/** Resolves with the peer once it is upgraded and welcomed, or with the status of the refusal. */
export async function connectRawWebSocket(
  url: string,
  path = '/ws',
  headers: Readonly<Record<string, string | null>> = {},
): Promise<RawPeer & { readonly status: number }> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  open.add(socket);
  onTestFinished(destroyOpen);
  const changed = new Signal();
  const events: Received[] = [];
  let head = '';
  let rest = Buffer.alloc(0);
  let status = 0;
  let code: number | null = null;
  let isGone = false;

  const read = () => {
    while (rest.length >= 2) {
      const opcode = rest[0]! & 0x0f;
      let length = rest[1]!;
      let at = 2;
      if (length === 126) {
        if (rest.length < 4) return;
        length = rest.readUInt16BE(2);
        at = 4;
      } else if (length === 127) {
        if (rest.length < 10) return;
        length = Number(rest.readBigUInt64BE(2));
        at = 10;
      }
      if (rest.length < at + length) return;
      const payload = rest.subarray(at, at + length);
      rest = rest.subarray(at + length);
      if (opcode === TEXT) events.push(JSON.parse(payload.toString()) as Received);
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
  // A reset is one of the ends it may meet.
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
  socket.write(upgrade(path, headers));
  await until(() => status !== 0);
  if (status === 101) await until(() => events.length > 0);
  return {
    socket,
    events,
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
    // The callback comes with an error where the connection goes first.
    write: (bytes) =>
      new Promise((resolve) => {
        socket.write(bytes, () => resolve());
      }),
  };
}
