/** Reads the JSON bodies of requests, in the turn of their connection. */
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { Refusal } from '../errors.js';
import type { HttpDeps } from './deps.js';

/** Calls `done` with the value, undefined for an empty body, or with a `Refusal`. */
export type JsonReader = (
  request: IncomingMessage,
  done: (refusal: Refusal | null, value?: unknown) => void,
) => void;

const TOO_BIG = 'The body is larger than --max-http-body-bytes.';

export function jsonReader({
  bodies,
  config,
  inTurn,
}: Pick<HttpDeps, 'bodies' | 'config' | 'inTurn'>): JsonReader {
  return (request, done) => {
    const ready = (take: () => Buffer) =>
      inTurn(request, () => {
        const body = take();
        // Some clients send this content type without a body, also with DELETE.
        const value = body.length === 0 ? undefined : parse(body);
        if (value instanceof Refusal) done(value);
        else done(null, value);
        return false;
      });
    bodies.whole(request, config.maxHttpBodyBytes, TOO_BIG, ready, done);
  };
}

function parse(body: Buffer): unknown {
  if (!isUtf8(body)) return new Refusal('bad_json', 'The body is not UTF-8.');
  try {
    return JSON.parse(body.toString());
  } catch {
    return new Refusal('bad_json', 'The body is not JSON.');
  }
}
