/**
 * Servers without a protocol to speak of: a payload is a message, and what is sent to join, leave
 * and publish comes from templates. Replies are not awaited, as there is nothing to tell them from
 * messages, so a member counts as joined once the join has been sent.
 */
import type { Protocol } from '../protocol.js';

/** Payloads to send. An absent one is not sent; `publish` must contain `{data}`. */
export interface Templates {
  readonly join?: string;
  readonly leave?: string;
  readonly publish: string;
}

/** @param name `ws`, or `echo` for a server that sends back what it gets, and to nobody else */
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
