/** A request that is not carried out, answered in the one shape: `{ code, message }` as JSON. */
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { REFUSAL, type Refusal } from '../errors.js';

/**
 * Answers with the status of the refusal's code, or with `status` where a protocol has its own.
 * What of the body nobody has read is not kept: Node reads past it.
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
    ...headers,
  });
  response.end(body);
}
