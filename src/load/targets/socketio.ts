/**
 * Socket.IO v4 over its WebSocket transport (Engine.IO 4), default namespace. Rooms are a server's
 * own affair in Socket.IO, so join, leave and publish are events whose JSON comes from templates.
 */
import type { Stamps } from '../stamp.js';
import type { Wire, WireEvents } from '../wire/wire.js';
import type { Sink } from './target.js';
import { TemplateLink, type Templates } from './template.js';

const OPEN = 0x30;
const CLOSE = 0x31;
const PING = 0x32;
const MESSAGE = 0x34;
const CONNECT = 0x30;
const EVENT = 0x32;
const ERROR = 0x34;

/** Events of the usual chat example: `join`, `leave` and `publish` with the room and the text. */
export const SOCKETIO_EVENTS: Templates = {
  join: '["join","{room}"]',
  leave: '["leave","{room}"]',
  publish: '["publish","{room}","{data}"]',
};

export class SocketioLink extends TemplateLink {
  constructor(sink: Sink, stamps: Stamps, open: (events: WireEvents) => Wire, events: Templates) {
    super(sink, stamps, open, {
      publish: `42${events.publish}`,
      ...(events.join === undefined ? {} : { join: `42${events.join}` }),
      ...(events.leave === undefined ? {} : { leave: `42${events.leave}` }),
    });
  }

  /** The wire is open; the server's connect packet opens the link. */
  override open(): void {}

  override payload(buf: Buffer, start: number, end: number): void {
    const kind = buf[start + 1];
    switch (buf[start]) {
      case MESSAGE:
        if (kind === EVENT) super.payload(buf, start, end);
        else if (kind === CONNECT) this.sink.open();
        else if (kind === ERROR) this.sink.refused(buf.toString('utf8', start + 2, end));
        break;
      case PING:
        this.wire.send(Buffer.from('3'));
        break;
      case OPEN:
        this.wire.send(Buffer.from('40'));
        break;
      case CLOSE:
        this.close();
    }
  }
}
