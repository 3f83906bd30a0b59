/**
 * Socket.IO v4 over its WebSocket transport (Engine.IO 4), default namespace. In Socket.IO rooms exist
 * only on the server, so join, leave and publish are events whose JSON comes from templates.
 */
import type { Protocol } from '../protocol.js';
import { type Templates, templateProtocol } from './template.js';

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

export function socketioProtocol({ join, leave, publish }: Templates): Protocol {
  return {
    ...templateProtocol('socketio', {
      publish: `42${publish}`,
      ...(join === undefined ? {} : { join: `42${join}` }),
      ...(leave === undefined ? {} : { leave: `42${leave}` }),
    }),
    path: '/socket.io/?EIO=4&transport=websocket',

    /** Nothing to do: the server's connect packet shows that the connection is ready. */
    open() {},

    decode(connection, { buf, start, end }) {
      const kind = buf[start + 1];
      switch (buf[start]) {
        case MESSAGE:
          if (kind === EVENT) connection.messageIn(buf, start, end);
          else if (kind === CONNECT) connection.ready();
          else if (kind === ERROR) connection.refused(buf.toString('utf8', start + 2, end));
          break;
        case PING:
          connection.send('3');
          break;
        case OPEN:
          connection.send('40');
          break;
        case CLOSE:
          connection.close();
      }
    },
  };
}
