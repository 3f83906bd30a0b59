/** Reads the bodies of requests, which must be JSON, in the turn of their connection. */
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { Refusal } from '../errors.js';
import type { HttpDeps } from './deps.js';

const TOO_BIG = 'The body is larger than --max-http-body-bytes.';

type Reads = Pick<HttpDeps, 'bodies' | 'config' | 'inTurn'>;

/** The app accepts JSON bodies only. */
export function acceptJson(app: FastifyInstance, { bodies, config, inTurn }: Reads): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', (_, request: IncomingMessage, done) => {
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
  });
}

function parse(body: Buffer): unknown {
  if (!isUtf8(body)) return new Refusal('bad_json', 'The body is not UTF-8.');
  try {
    return JSON.parse(body.toString());
  } catch {
    return new Refusal('bad_json', 'The body is not JSON.');
  }
}
