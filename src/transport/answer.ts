/** A request that is not carried out, answered in the one shape: `{ code, message }` as JSON. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { REFUSAL, type Refusal } from '../errors.js';

/** A body of this many bytes is read past, so that the connection stays of use. */
const READ_PAST_BYTES = 65_536;

/**
 * Answers with the status of the refusal's code, or with `status` where a protocol has its own. A
 * body that nobody has read is not kept; the connection of a long one ends with the answer.
 */
export function answerRefusal(
  request: IncomingMessage,
  response: ServerResponse,
  { code, message }: Pick<Refusal, 'code' | 'message'>,
  headers: OutgoingHttpHeaders = {},
  status: number = REFUSAL[code].status,
): void {
  const body = JSON.stringify({ code, message });
  if (leavesBody(request)) response.setHeader('connection', 'close');
  response.writeHead(status, {
    'Cache-Control': 'no-store',
    'Content-Type': 'application/json; charset=UTF-8',
    'Content-Length': Buffer.byteLength(body),
    ...headers,
  });
  response.end(body);
}

/** Whether more of the request's body is to come than it is worth to wait for. */
export function leavesBody({ complete, headers }: IncomingMessage): boolean {
  if (complete) return false;
  if (headers['transfer-encoding'] !== undefined) return true;
  return Number(headers['content-length'] ?? 0) > READ_PAST_BYTES;
}
