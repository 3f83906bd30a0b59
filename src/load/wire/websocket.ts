/**
 * A WebSocket client (RFC 6455, no extensions) reduced to what counting needs: it parses frames in place
 * in the read buffer, and a payload costs a call, not an object. It answers pings and closes; it neither
 * validates UTF-8 nor unmasks, which a conforming server does not require.
 */
import { createHash, randomBytes } from 'node:crypto';
import { RawSocket } from './socket.js';
import { type Endpoint, PAYLOAD_MAX, type Wire, type WireEvents } from './wire.js';

const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const FINAL = 0x80;
const MASKED = 0x80;
/** Largest frame header, in bytes. */
const HEADER_MAX = 10;
const HEAD_MAX = 16 * 1024;
/** Start of every HTTP response. */
const HTTP = 'HTTP/1.';
const TOO_BIG = 'frame larger than 64 MiB';

export class WebSocketWire implements Wire {
  readonly #events: WireEvents;
  readonly #opcode: number;
  readonly #socket: RawSocket;
  #state: 'upgrading' | 'open' | 'closing' = 'upgrading';
  #expectedAccept = '';
  /** The incomplete frame (or upgrade response) at the end of the last read. */
  #held = Buffer.allocUnsafe(512);
  #heldLength = 0;
  #fragments: Buffer[] = [];
  #fragmentBytes = 0;
  #reason = '';

  constructor(endpoint: Endpoint, events: WireEvents, kind: 'text' | 'binary' = 'text') {
    this.#events = events;
    this.#opcode = kind === 'text' ? TEXT : BINARY;
    this.#socket = new RawSocket(endpoint, {
      connected: () => this.#upgrade(endpoint),
      bytes: (buf, start, end, now) => this.#bytes(buf, start, end, now),
      closed: (reason) => events.closed(this.#reason || reason),
    });
  }

  get backlog(): number {
    return this.#socket.backlog;
  }

  send(payload: Uint8Array): void {
    if (this.#state === 'open') this.#socket.write(frame(this.#opcode, payload));
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  probe(): void {
    this.#socket.probe();
  }

  close(): void {
    if (this.#state === 'open') this.#socket.write(frame(CLOSE, Buffer.from([0x03, 0xe8])));
    this.#state = 'closing';
    this.#socket.end();
  }

  reset(): void {
    this.#state = 'closing';
    this.#socket.reset();
  }

  #upgrade(endpoint: Endpoint): void {
    const key = randomBytes(16).toString('base64');
    this.#expectedAccept = createHash('sha1')
      .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest('base64');
    const headers: Record<string, string> = {
      Host: `${endpoint.host}:${endpoint.port}`,
      Upgrade: 'websocket',
      Connection: 'Upgrade',
      'Sec-WebSocket-Key': key,
      'Sec-WebSocket-Version': '13',
      ...(endpoint.subprotocol ? { 'Sec-WebSocket-Protocol': endpoint.subprotocol } : {}),
      ...endpoint.headers,
    };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    this.#socket.write(Buffer.from(`GET ${endpoint.path} HTTP/1.1\r\n${lines.join('')}\r\n`));
  }

  #bytes(buf: Buffer, start: number, end: number, now: number): void {
    this.#events.chunk(end - start, now);
    let at = start;
    if (this.#state === 'upgrading') at = this.#response(buf, start, end);
    if (at >= 0 && this.#heldLength > 0) at = this.#completeHeld(buf, at, end);
    if (at < 0) return;
    at = this.#frames(buf, at, end);
    if (at < end) this.#hold(buf, at, end);
  }

  /** Reads the upgrade response; returns where frames begin, or -1 if more bytes are needed. */
  #response(buf: Buffer, start: number, end: number): number {
    const before = this.#heldLength;
    this.#hold(buf, start, end);
    const held = this.#held.subarray(0, this.#heldLength);
    const headEnd = held.indexOf('\r\n\r\n');
    if (!HTTP.startsWith(held.toString('latin1', 0, HTTP.length))) {
      this.#fail('refused the upgrade: no HTTP');
      return -1;
    }
    if (headEnd < 0) {
      if (held.length > HEAD_MAX) this.#fail('response head larger than 16 KiB');
      return -1;
    }
    const head = held.toString('latin1', 0, headEnd);
    const status = /^HTTP\/1\.1 (\d{3}[^\r]*)/.exec(head)?.[1] ?? 'no HTTP';
    const accept = /\r\nsec-websocket-accept: *(\S+)/i.exec(head)?.[1];
    if (!status.startsWith('101')) {
      this.#fail(`refused the upgrade: ${status}`);
      return -1;
    }
    if (accept !== this.#expectedAccept) {
      this.#fail('wrong Sec-WebSocket-Accept');
      return -1;
    }
    this.#heldLength = 0;
    this.#state = 'open';
    this.#events.open();
    return start + headEnd + 4 - before;
  }

  /** Delivers every complete frame in `buf[start, end)`; returns where the incomplete one starts. */
  #frames(buf: Buffer, start: number, end: number): number {
    const events = this.#events;
    let at = start;
    while (end - at >= 2) {
      const first = buf[at]!;
      let size = buf[at + 1]! & 0x7f;
      let body = at + 2;
      if (size === 126) {
        if (end - at < 4) break;
        size = (buf[at + 2]! << 8) | buf[at + 3]!;
        body = at + 4;
      } else if (size === 127) {
        if (end - at < 10) break;
        size = buf.readUInt32BE(at + 2) * 2 ** 32 + buf.readUInt32BE(at + 6);
        body = at + 10;
        if (size > PAYLOAD_MAX) {
          this.#fail(TOO_BIG);
          return end;
        }
      }
      if (end - body < size) break;
      at = body + size;
      if (first === (FINAL | TEXT) || first === (FINAL | BINARY)) events.payload(buf, body, at);
      else if (!this.#uncommon(first, buf, body, at)) return end;
    }
    return at;
  }

  /** Handles control frames and fragments; returns whether to continue reading. */
  #uncommon(first: number, buf: Buffer, start: number, end: number): boolean {
    const opcode = first & 0x0f;
    if (opcode === PING) {
      this.#socket.write(frame(0x0a, buf.subarray(start, end)));
    } else if (opcode === CLOSE) {
      const code = end - start >= 2 ? buf.readUInt16BE(start) : 1005;
      this.#reason ||= `${code} ${buf.toString('utf8', start + 2, end)}`.trim();
      this.close();
      return false;
    } else if (opcode <= BINARY) {
      if (end > start) this.#fragments.push(Buffer.from(buf.subarray(start, end)));
      this.#fragmentBytes += end - start;
      if (this.#fragmentBytes > PAYLOAD_MAX) {
        this.#fail(TOO_BIG);
        return false;
      }
      if (first & FINAL) {
        const whole = Buffer.concat(this.#fragments);
        this.#fragments = [];
        this.#fragmentBytes = 0;
        this.#events.payload(whole, 0, whole.length);
      }
    }
    return true;
  }

  /** Completes the held frame from `buf[start, end)`; returns where the next one starts, or -1. */
  #completeHeld(buf: Buffer, start: number, end: number): number {
    let at = start;
    for (;;) {
      const size = frameSize(this.#held, this.#heldLength);
      if (size > HEADER_MAX + PAYLOAD_MAX) {
        this.#fail(TOO_BIG);
        return -1;
      }
      if (size === this.#heldLength) {
        this.#heldLength = 0;
        this.#frames(this.#held, 0, size);
        return at;
      }
      if (at === end) return -1;
      const missing = size === 0 ? 1 : size - this.#heldLength;
      const take = Math.min(missing, end - at);
      this.#hold(buf, at, at + take);
      at += take;
    }
  }

  #hold(buf: Buffer, start: number, end: number): void {
    const length = this.#heldLength + end - start;
    if (length > this.#held.length) {
      const larger = Buffer.allocUnsafe(2 ** Math.ceil(Math.log2(length)));
      this.#held.copy(larger, 0, 0, this.#heldLength);
      this.#held = larger;
    }
    buf.copy(this.#held, this.#heldLength, start, end);
    this.#heldLength = length;
  }

  #fail(reason: string): void {
    this.#reason ||= reason;
    this.reset();
  }
}

/** Size of the frame at the start of `held`, or 0 while its header is incomplete. */
function frameSize(held: Buffer, length: number): number {
  if (length < 2) return 0;
  const size = held[1]! & 0x7f;
  if (size < 126) return 2 + size;
  if (size === 126) return length < 4 ? 0 : 4 + held.readUInt16BE(2);
  return length < 10 ? 0 : 10 + held.readUInt32BE(2) * 2 ** 32 + held.readUInt32BE(6);
}

/** A final, masked client frame. */
function frame(opcode: number, payload: Uint8Array): Buffer {
  const size = payload.length;
  const head = size < 126 ? 2 : size < 65_536 ? 4 : 10;
  const buf = Buffer.allocUnsafe(head + 4 + size);
  buf[0] = FINAL | opcode;
  if (head === 2) buf[1] = MASKED | size;
  else if (head === 4) {
    buf[1] = MASKED | 126;
    buf.writeUInt16BE(size, 2);
  } else {
    buf[1] = MASKED | 127;
    buf.writeBigUInt64BE(BigInt(size), 2);
  }
  const mask = (Math.random() * 2 ** 32) >>> 0;
  buf.writeUInt32BE(mask, head);
  for (let i = 0; i < size; i++) {
    buf[head + 4 + i] = payload[i]! ^ ((mask >>> (24 - 8 * (i & 3))) & 0xff);
  }
  return buf;
}
