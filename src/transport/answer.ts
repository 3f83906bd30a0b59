/** Error responses to refused requests, always `{ code, message }` as JSON. */
import { type OutgoingHttpHeaders, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { REFUSAL, type Refusal } from '../errors.js';

/**
 * Answers with the status of the refusal's code, or with `status` if a protocol requires another. Node
 * discards the unread rest of the body.
 */
export function answerRefusal(
  response: ServerResponse,
  { code, message }: Pick<Refusal, 'code' | 'message'>,
  headers: OutgoingHttpHeaders = {},
  status: number = REFUSAL[code].status,
): void {
  const body = JSON.stringify({ code, message });
  response.writeHead(status, {
    'Cache-Control': 'no-store',
    'Content-Type': 'application/json; charset=UTF-8',
    'Content-Length': Buffer.byteLength(body),
    // The rest of such a request is not awaited.
    ...(code === 'too_slow' ? { Connection: 'close' } : {}),
    ...headers,
  });
  response.end(body);
}

/** Answers on a socket that Node has detached, and ends it. */
export function endWithRefusal(
  socket: Duplex,
  { code, message }: Pick<Refusal, 'code' | 'message'>,
): void {
  const { status } = REFUSAL[code];
  const body = JSON.stringify({ code, message });
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Connection: close',
    'Content-Type: application/json; charset=UTF-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  // A peer that does not close its side must not keep the server's side open.
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}
