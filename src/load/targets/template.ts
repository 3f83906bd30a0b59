/**
 * Servers without a protocol of their own: each payload is a message, and templates give the texts to
 * join, leave and publish. Replies are not awaited, since they cannot be distinguished from messages: a
 * member counts as joined once its join is sent.
 */
import type { Protocol } from '../protocol.js';

/** Payloads to send. An absent one is not sent; `publish` must contain `{data}`. */
export interface Templates {
  readonly join?: string;
  readonly leave?: string;
  readonly publish: string;
}

/** @param name `ws`, or `echo` for a server that returns each message to its sender only */
export function templateProtocol(name: string, { join, leave, publish }: Templates): Protocol {
  return {
    name,

    open(connection) {
      connection.ready();
    },

    join(connection, room) {
      if (join !== undefined) connection.send(fill(join, room));
      connection.joined(room);
    },

    ...(leave === undefined
      ? {}
      : {
          leave(connection, room) {
            connection.send(fill(leave, room));
            connection.left(room);
          },
        }),

    publish(connection, room, data) {
      connection.send(fill(publish, room, data));
    },

    decode(connection, { buf, start, end }) {
      connection.messageIn(buf, start, end);
    },
  };
}

function fill(template: string, room: string, data?: string): string {
  const text = template.replaceAll('{room}', room);
  return data === undefined ? text : text.replaceAll('{data}', data);
}
