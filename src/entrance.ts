/**
 * Routes each request and upgrade to WebSocket, SockJS or the HTTP API, in the normalised form of
 * `transport/target.ts`. Refuses paths that belong to none of them.
 *
 * V11: every refusal has a code, also that of a malformed request.
 *
 * Not here: listening and sockets (`serve.ts`), the paths below `/sockjs` (`transport/sockjs.ts`)
 * and of the API (`http/`).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { REFUSAL, Refusal, type RefusalCode } from './errors.js';
import { answerRefusal, endWithRefusal } from './transport/answer.js';
import { normalise } from './transport/target.js';

/** Path prefix of SockJS. */
export const SOCKJS = '/sockjs';
const WEBSOCKET = '/ws';
/** SockJS calls its endpoint without message wrapping the raw WebSocket. */
const PLAIN_PATHS: ReadonlySet<string> = new Set([WEBSOCKET, `${SOCKJS}/websocket`]);
const WRAPPED_PATH = new RegExp(`^${SOCKJS}/[\\w%~-]{1,64}/[\\w%~-]{1,64}/websocket/?$`);
/** Every method that some path here supports. */
const METHODS = 'GET, HEAD, POST, DELETE, OPTIONS';

type Upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

export interface EntranceOptions {
  /** Origins allowed to connect; empty: any. A request without an origin is always allowed. */
  readonly origins: readonly string[];
  readonly refused: (code: RefusalCode) => void;
  /** Path below which everything is served: `/`, or a path without a slash at its end. */
  readonly prefix: string;
  /** Accepts a WebSocket that carries one command or event per frame. */
  readonly plain: Upgrade;
  /** Accepts a WebSocket that carries SockJS. */
  readonly wrapped: Upgrade;
  /** Returns false if the request is not for SockJS. */
  readonly sockjs: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** Answers every request, with 404 if need be. */
  readonly api: (request: IncomingMessage, response: ServerResponse) => void;
}

export class Entrance {
  readonly #options: EntranceOptions;

  constructor(options: EntranceOptions) {
    this.#options = options;
  }

  request(request: IncomingMessage, response: ServerResponse): void {
    const { sockjs, api } = this.#options;
    const { method, httpVersionMinor } = request;
    const wrong = method === 'CONNECT' ? undefined : this.#normalise(request);
    if (wrong !== undefined) {
      // Behind a malformed request, the server cannot tell the body from the next request.
      this.#refuse(response, wrong, wrong.code === 'not_found' ? {} : { connection: 'close' });
    } else if (method === 'CONNECT') {
      this.#refuseMethod(request, response, METHODS);
    } else if (request.url === '*') {
      response.writeHead(204, { allow: METHODS }).end();
    } else if (pathOf(request) !== WEBSOCKET) {
      if (!sockjs(request, response)) api(request, response);
    } else if (method !== 'GET') {
      this.#refuseMethod(request, response, 'GET');
    } else {
      // An HTTP/1.0 proxy would read `Connection` as meant for itself.
      const connection = httpVersionMinor > 0 ? { connection: 'upgrade' } : {};
      const headers = { upgrade: 'websocket', ...connection };
      this.#refuse(response, needsUpgrade(request), headers);
    }
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const { origins, plain, wrapped } = this.#options;
    const { origin } = request.headers;
    const wrong = this.#normalise(request);
    const path = pathOf(request);
    if (wrong !== undefined) this.#refuseUpgrade(socket, wrong.code);
    // RFC 6455, 4.2.1.
    else if (request.httpVersion !== '1.1') this.#refuseUpgrade(socket, 'bad_command');
    else if (origin !== undefined && origins.length > 0 && !origins.includes(origin)) {
      this.#refuseUpgrade(socket, 'forbidden');
    } else if (PLAIN_PATHS.has(path)) plain(request, socket, head);
    else if (WRAPPED_PATH.test(path)) wrapped(request, socket, head);
    else this.#refuseUpgrade(socket, 'not_found');
  }

  /** Normalises the request and removes the prefix from its path. */
  #normalise(request: IncomingMessage): Refusal | undefined {
    const { prefix } = this.#options;
    const wrong = normalise(request);
    if (wrong !== undefined || prefix === '/' || request.url === '*') return wrong;
    const path = pathOf(request);
    if (!isBelow(prefix, request)) {
      return new Refusal(
        'not_found',
        `There is no ${path.slice(0, 100)}; every path begins with ${prefix}.`,
      );
    }
    const rest = request.url?.slice(prefix.length) ?? '';
    request.url = rest.startsWith('/') ? rest : `/${rest}`;
    return undefined;
  }

  #refuse(response: ServerResponse, refusal: Refusal, headers: Record<string, string>): void {
    this.#options.refused(refusal.code);
    answerRefusal(response, refusal, headers);
  }

  #refuseMethod(request: IncomingMessage, response: ServerResponse, allow: string): void {
    const refusal = new Refusal(
      'method_not_allowed',
      `${request.method} is not supported here: use one of ${allow}.`,
    );
    this.#refuse(response, refusal, { allow });
  }

  #refuseUpgrade(socket: Duplex, code: RefusalCode): void {
    this.#options.refused(code);
    socket.on('error', () => {});
    endWithRefusal(socket, { code, message: REFUSAL[code].text });
  }
}

/**
 * Whether an app's server should pass this request on: its path is below the prefix or, without a
 * prefix, is one of a transport.
 */
export function isBelow(prefix: string, { url = '' }: IncomingMessage): boolean {
  if (prefix === '/') return /^\/(?:ws|sockjs)(?:[/?]|$)/.test(url);
  return url.startsWith(prefix) && /^(?:[/?]|$)/.test(url.slice(prefix.length));
}

function pathOf({ url = '' }: IncomingMessage): string {
  const query = url.indexOf('?');
  return query < 0 ? url : url.slice(0, query);
}

/** The most common mistake of a proxy is to drop these headers. */
function needsUpgrade({ headers }: IncomingMessage): Refusal {
  const has = (name: 'upgrade' | 'connection', value: RegExp) => value.test(headers[name] ?? '');
  const missing = [
    ...(has('upgrade', /^websocket$/i) ? [] : ['Upgrade: websocket']),
    ...(has('connection', /\bupgrade\b/i) ? [] : ['Connection: Upgrade']),
  ];
  return new Refusal(
    'upgrade_required',
    `This is a WebSocket endpoint. The request arrived without ${missing.map((each) => `"${each}"`).join(' and ')}; a proxy in between must pass it on, over HTTP/1.1.`,
  );
}
