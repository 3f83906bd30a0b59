/**
 * roomcast's protocol v1, over whichever wire. Messages are read in place: a payload that looks as
 * the server writes it costs two look-ups at known distances; any other is parsed as JSON.
 */
import type { Stamps } from '../stamp.js';
import type { Wire, WireEvents } from '../wire/wire.js';
import { DialectLink, type Sink } from './target.js';

const KEY = Buffer.from('"seq":');
const ZERO = 0x30;
/** Where the `m` of `{"type":"message"` is. */
const TYPE_AT = 9;
const M = 0x6d;
const COLON = 0x3a;
const Q = 0x71;

interface ServerFrame {
  type?: string;
  id?: number;
  room?: string;
  seq?: number;
  from?: number;
  to?: number;
  code?: number | string;
  reason?: string;
}

export class RoomcastLink extends DialectLink {
  #seqFromStart = 0;
  #closing = '';

  constructor(sink: Sink, stamps: Stamps, open: (events: WireEvents) => Wire) {
    super(sink, stamps, open);
  }

  /** The wire is open; the server's `welcome` opens the link. */
  override open(): void {}

  override payload(buf: Buffer, start: number, end: number): void {
    if (buf[start + TYPE_AT] !== M) {
      this.#parsed(buf, start, end);
      return;
    }
    const at = this.stampIn(buf, start, end);
    if (at >= 0) this.sink.message(buf, at, this.#seqIn(buf, start, end));
  }

  override join(room: string): void {
    this.#send({ type: 'join', id: 1, room });
  }

  override leave(room: string): boolean {
    this.#send({ type: 'leave', id: 2, room });
    return true;
  }

  override publish(room: string, data: Buffer, confirm: boolean): void {
    const id = confirm ? '"id":3,' : '';
    const head = `{"type":"publish",${id}"room":${JSON.stringify(room)},"data":"`;
    this.wire.send(Buffer.concat([Buffer.from(head), data, Buffer.from('"}')]));
  }

  override closed(reason: string): void {
    super.closed(this.#closing || reason);
  }

  #send(command: object): void {
    this.wire.send(Buffer.from(JSON.stringify(command)));
  }

  #seqIn(buf: Buffer, start: number, end: number): number {
    let at = start + this.#seqFromStart;
    if (this.#seqFromStart === 0 || buf[at - 1] !== COLON || buf[at - 3] !== Q) {
      const key = buf.indexOf(KEY, start);
      if (key < 0 || key >= end) return -1;
      at = key + KEY.length;
      this.#seqFromStart = at - start;
    }
    let seq = 0;
    for (;;) {
      const digit = buf[at]! - ZERO;
      if (digit < 0 || digit > 9) return seq;
      seq = seq * 10 + digit;
      at++;
    }
  }

  #parsed(buf: Buffer, start: number, end: number): void {
    const frame = JSON.parse(buf.toString('utf8', start, end)) as ServerFrame;
    const room = frame.room ?? '';
    const seq = frame.seq ?? -1;
    switch (frame.type) {
      case 'welcome':
        this.sink.open();
        break;
      case 'joined':
        this.sink.joined(room, seq);
        break;
      case 'left':
        this.sink.left(room);
        break;
      case 'gap':
        this.sink.gap(room, frame.from ?? -1, frame.to ?? -1);
        break;
      case 'published':
        this.sink.confirmed(room, seq);
        break;
      case 'error':
        this.sink.refused(String(frame.code));
        break;
      case 'closing':
        this.#closing = `${frame.code} ${frame.reason ?? ''}`.trim();
        break;
      case 'message': {
        const at = this.stampIn(buf, start, end);
        if (at >= 0) this.sink.message(buf, at, seq);
      }
    }
  }
}
