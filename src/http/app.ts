/**
 * The Fastify app of a server: answers every HTTP request that is neither an upgrade nor SockJS. Every
 * failure has a code (V11).
 *
 * Not here: listening and sockets (`serve.ts`), the list of routes (`routes.ts`).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import fastify from 'fastify';
import type { TObject } from 'typebox';
import type { HttpDeps } from './deps.js';
import { docs } from './docs.js';
import { failureHandler, refuseMethod, refuseUnknown } from './failures.js';
import { createEntryGuard } from './guard.js';
import { acceptJson } from './json-body.js';
import { Methods } from './methods.js';
import { page } from './page.js';
import { compileQuery } from './query.js';
import { routes } from './routes.js';

export interface HttpApp {
  /** Answers a request. Usable until the server's last connection has closed. */
  handle(request: IncomingMessage, response: ServerResponse): void;
  /** Releases all resources. Call it after the last request. */
  close(): Promise<void>;
}

/** Maximum path length; Node's own limit for a request's head. */
const MAX_PATH = 16_384;

export async function buildHttp(deps: HttpDeps): Promise<HttpApp> {
  const answer = failureHandler(deps);
  const app = fastify({
    // During a shutdown the routes answer requests themselves, with a code of ours.
    return503OnClosing: false,
    routerOptions: { maxParamLength: MAX_PATH },
    frameworkErrors: answer,
  });
  app.setErrorHandler(answer);
  app.setNotFoundHandler(refuseUnknown);
  const methods = new Methods();
  methods.watch(app);
  // Before the body is read, since no route needs it.
  app.addHook('onRequest', (request, reply, done) => {
    if (!request.is404) return done();
    const allowed = methods.at(request.url.split('?', 1)[0] ?? '');
    if (allowed.length === 0) return refuseUnknown(request);
    reply.header('allow', allowed.join(', '));
    if (request.method === 'OPTIONS') return reply.code(204).send();
    refuseMethod(request, allowed);
  });
  const mayEnter = createEntryGuard(deps);
  app.addHook('onRequest', (request, _reply, done) => {
    if (!deps.peers?.isPeer(request.raw) && !mayEnter(request.raw)) refuseUnknown(request);
    done();
  });
  acceptJson(app, deps);
  // The routes check bodies and names themselves, like socket commands. Their schemas only document
  // them.
  app.setValidatorCompiler<TObject>((route) =>
    route.httpPart === 'querystring' ? compileQuery(route) : () => true,
  );

  docs(app, deps);
  page(app, deps.version);
  routes(app, deps);
  await app.ready();

  return {
    handle: (request, response) => app.routing(request, response),
    close: () => app.close(),
  };
}
