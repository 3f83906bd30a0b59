/**
 * Many members on raw sockets, some of which stop reading. Counts on its own what reached each, so
 * that what a server says of itself can be held against it.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const OPCODE_TEXT = 1;
const OPCODE_PING = 9;
const OPCODE_PONG = 10;

class Member {
  readonly #socket: Socket;
  #rest: Buffer = Buffer.alloc(0);
  #hasShaken = false;
  /** Messages that came, and messages that a gap said would not. */
  received = 0;
  missed = 0;
  /** Times it was told to be slow. */
  slow = 0;
  isJoined = false;

  constructor(port: number) {
    this.#socket = connect(port, '127.0.0.1').setNoDelay(true);
    this.#socket.on('data', (chunk) => this.#read(chunk));
    // A member that is evicted is reset.
    this.#socket.on('error', () => {});
  }

  /** Resolves once it is in the room. */
  async join(room: string): Promise<void> {
    await once(this.#socket, 'connect');
    this.#socket.write(
      'GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n\r\n`,
    );
    while (!this.#hasShaken) await once(this.#socket, 'data');
    this.send({ type: 'join', id: 1, room });
    while (!this.isJoined) await once(this.#socket, 'data');
  }

  send(command: object): void {
    this.#write(OPCODE_TEXT, Buffer.from(JSON.stringify(command)));
  }

  stall(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#socket.destroy();
  }

  #write(opcode: number, payload: Buffer): void {
    if (payload.length > 0xffff) throw new RangeError('longer than a frame of a test');
    const long = payload.length > 125;
    const head = Buffer.from([0x80 | opcode, ...(long ? [0xfe, 0, 0] : [0x80 | payload.length])]);
    if (long) head.writeUInt16BE(payload.length, 2);
    // A mask of zeros is a mask.
    this.#socket.write(Buffer.concat([head, Buffer.alloc(4), payload]));
  }

  #read(chunk: Buffer): void {
    let data = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    if (!this.#hasShaken) {
      const end = data.indexOf('\r\n\r\n');
      if (end < 0) {
        this.#rest = data;
        return;
      }
      this.#hasShaken = true;
      data = data.subarray(end + 4);
    }
    let at = 0;
    while (data.length - at >= 2) {
      const short = data[at + 1]! & 0x7f;
      const head = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (data.length - at < head) break;
      const length =
        short < 126
          ? short
          : short === 126
            ? data.readUInt16BE(at + 2)
            : Number(data.readBigUInt64BE(at + 2));
      if (data.length - at - head < length) break;
      const opcode = data[at]! & 0x0f;
      if (opcode === OPCODE_TEXT) this.#frame(data, at + head, length);
      else if (opcode === OPCODE_PING)
        this.#write(OPCODE_PONG, data.subarray(at + head, at + head + length));
      at += head + length;
    }
    this.#rest = data.subarray(at);
  }

  #frame(data: Buffer, start: number, length: number): void {
    const text = data.toString('latin1', start, start + Math.min(length, 200));
    if (text.startsWith('{"type":"message"')) this.received += 1;
    else if (text.startsWith('{"type":"joined"')) this.isJoined = true;
    else if (text.startsWith('{"type":"gap"')) {
      this.missed += Number(/"count":(\d+)/.exec(text)?.[1]);
    } else if (/"state":"(lagging|shedding)"/.test(text)) this.slow += 1;
  }
}

export class Crowd {
  readonly members: Member[] = [];
  published = 0;
  readonly #room: string;
  #timer: NodeJS.Timeout | undefined;

  constructor(room: string) {
    this.#room = room;
  }

  /** Resolves once `count` more are in the room. */
  async join(port: number, count: number): Promise<void> {
    const batch = 50;
    for (let left = count; left > 0; left -= batch) {
      const members = Array.from({ length: Math.min(batch, left) }, () => new Member(port));
      this.members.push(...members);
      await Promise.all(members.map((member) => member.join(this.#room)));
    }
  }

  /** The first of them publishes `perSecond` messages of `bytes` from now on. */
  publish(perSecond: number, bytes: number): void {
    const [publisher] = this.members;
    const data = 'x'.repeat(bytes);
    const started = performance.now();
    const before = this.published;
    clearInterval(this.#timer);
    this.#timer = setInterval(() => {
      const due = ((performance.now() - started) / 1e3) * perSecond;
      while (this.published - before < due) {
        publisher!.send({ type: 'publish', room: this.#room, data });
        this.published += 1;
      }
    }, 10);
  }

  hush(): void {
    clearInterval(this.#timer);
  }

  /** The last `count` stop to read. */
  stall(count: number): void {
    for (const member of this.members.slice(-count)) member.stall();
  }

  resume(): void {
    for (const member of this.members) member.resume();
  }

  get received(): number {
    return this.members.reduce((sum, { received }) => sum + received, 0);
  }

  get missed(): number {
    return this.members.reduce((sum, { missed }) => sum + missed, 0);
  }

  close(): void {
    this.hush();
    for (const member of this.members.splice(0)) member.close();
  }
}
