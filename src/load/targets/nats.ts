/**
 * NATS core over WebSocket: a room is a subject, publishing is PUB. The protocol is a byte stream
 * whose messages need not end where frames do, so what a frame ends in is kept for the next.
 */
import type { Stamps } from '../stamp.js';
import type { Wire, WireEvents } from '../wire/wire.js';
import { DialectLink, type Sink } from './target.js';

const CR = 0x0d;
const LF = 0x0a;
const M = 0x4d;
const ZERO = 0x30;
const SPACE = 0x20;
const CONNECT = `CONNECT ${JSON.stringify({
  verbose: false,
  pedantic: false,
  lang: 'roomcast-load',
  version: '1',
  protocol: 1,
  echo: true,
})}\r\n`;

export class NatsLink extends DialectLink {
  #rest: Buffer = Buffer.alloc(0);
  #rooms: string[] = [];
  /** What each PONG still to come answers: the connect, or the join of a room. */
  readonly #pongs: (() => void)[] = [];
  #greeted = false;
  #error = '';

  constructor(sink: Sink, stamps: Stamps, open: (events: WireEvents) => Wire) {
    super(sink, stamps, open);
  }

  /** The wire is open; the PONG after our CONNECT opens the link. */
  override open(): void {}

  override payload(buf: Buffer, start: number, end: number): void {
    if (this.#rest.length === 0) {
      const at = this.#protocol(buf, start, end);
      if (at < end) this.#rest = Buffer.from(buf.subarray(at, end));
    } else {
      const whole = Buffer.concat([this.#rest, buf.subarray(start, end)]);
      this.#rest = whole.subarray(this.#protocol(whole, 0, whole.length));
    }
  }

  override join(room: string): void {
    this.#rooms.push(room);
    this.#pongs.push(() => this.sink.joined(room, -1));
    this.#send(`SUB ${room} ${this.#rooms.length}\r\nPING\r\n`);
  }

  override leave(room: string): boolean {
    this.#pongs.push(() => this.sink.left(room));
    this.#send(`UNSUB ${this.#rooms.lastIndexOf(room) + 1}\r\nPING\r\n`);
    return true;
  }

  override publish(room: string, data: Buffer): void {
    const head = Buffer.from(`PUB ${room} ${data.length}\r\n`);
    this.wire.send(Buffer.concat([head, data, Buffer.from('\r\n')]));
  }

  override closed(reason: string): void {
    super.closed(this.#error || reason);
  }

  #send(text: string): void {
    this.wire.send(Buffer.from(text));
  }

  /** Handles every whole protocol message in `buf[at, end)`; returns where the rest starts. */
  #protocol(buf: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end) {
      const newline = buf.indexOf(LF, at);
      if (newline < 0 || newline >= end) break;
      if (buf[at] === M) {
        const body = newline + 1;
        const next = body + sizeBefore(buf, newline) + 2;
        if (next > end) break;
        const stamp = this.stampIn(buf, body, next - 2);
        if (stamp >= 0) this.sink.message(buf, stamp, -1);
        at = next;
      } else {
        this.#line(buf.toString('latin1', at, newline - 1));
        at = newline + 1;
      }
    }
    return at;
  }

  #line(line: string): void {
    if (line.startsWith('INFO')) {
      if (this.#greeted) return;
      this.#greeted = true;
      this.#pongs.push(() => this.sink.open());
      this.#send(`${CONNECT}PING\r\n`);
    } else if (line === 'PONG') this.#pongs.shift()?.();
    else if (line === 'PING') this.#send('PONG\r\n');
    else if (line.startsWith('-ERR')) {
      this.#error = line.slice(5);
      this.sink.refused(this.#error);
    }
  }
}

/** The payload size that ends the line before `newline`: `MSG <subject> <sid> <size>\r\n`. */
function sizeBefore(buf: Buffer, newline: number): number {
  let size = 0;
  let scale = 1;
  for (let at = newline - (buf[newline - 1] === CR ? 2 : 1); buf[at] !== SPACE; at--) {
    size += (buf[at]! - ZERO) * scale;
    scale *= 10;
  }
  return size;
}
