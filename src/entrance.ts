/**
 * Where a request or an upgrade goes: to a WebSocket, to SockJS, or to the HTTP API. Each of them
 * gets it in the one form of `transport/target.ts`; what is at no path of theirs is refused here.
 *
 * V11: every refusal has a code, also one of a request that is none.
 *
 * Not here: listening and sockets (`serve.ts`), the paths below `/sockjs` (`transport/sockjs.ts`)
 * and of the API (`http/`).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { REFUSAL, Refusal, type RefusalCode } from './errors.js';
import { answerRefusal, endWithRefusal } from './transport/answer.js';
import { normalise } from './transport/target.js';

/** Where SockJS is. */
export const SOCKJS = '/sockjs';
const WEBSOCKET = '/ws';
/** SockJS calls its WebSocket that does not wrap messages raw. */
const PLAIN_PATHS: ReadonlySet<string> = new Set([WEBSOCKET, `${SOCKJS}/websocket`]);
const WRAPPED_PATH = new RegExp(`^${SOCKJS}/[\\w%~-]{1,64}/[\\w%~-]{1,64}/websocket/?$`);
/** Every method that something here answers. */
const METHODS = 'GET, HEAD, POST, DELETE, OPTIONS';

type Upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

export interface EntranceOptions {
  /** Origins whose pages may connect; empty: any. A request without one may always. */
  readonly origins: readonly string[];
  readonly refused: (code: RefusalCode) => void;
  /** Path below which everything is: `/`, or one without a slash at its end. */
  readonly prefix: string;
  /** A WebSocket that carries a command or an event a frame. */
  readonly plain: Upgrade;
  /** A WebSocket that carries SockJS. */
  readonly wrapped: Upgrade;
  /** False: it is nothing of SockJS'. */
  readonly sockjs: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** Answers everything, if only with 404. */
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
      // Whatever follows on such a connection cannot be told from its body.
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
      // A proxy that speaks HTTP/1.0 would take `Connection` for its own.
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

  /** From here on a path has no prefix. */
  #normalise(request: IncomingMessage): Refusal | undefined {
    const { prefix } = this.#options;
    const wrong = normalise(request);
    if (wrong !== undefined || prefix === '/' || request.url === '*') return wrong;
    const path = pathOf(request);
    if (!isBelow(prefix, request)) {
      return new Refusal('not_found', `There is no ${path.slice(0, 100)}; all is below ${prefix}.`);
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
    const refusal = new Refusal('method_not_allowed', `${request.method} is not one of ${allow}.`);
    this.#refuse(response, refusal, { allow });
  }

  #refuseUpgrade(socket: Duplex, code: RefusalCode): void {
    this.#options.refused(code);
    socket.on('error', () => {});
    endWithRefusal(socket, { code, message: REFUSAL[code].text });
  }
}

/**
 * Whether a server with other things to serve is to hand over this: it is below the prefix, or without
 * one at a path of a transport.
 */
export function isBelow(prefix: string, { url = '' }: IncomingMessage): boolean {
  if (prefix === '/') return /^\/(?:ws|sockjs)(?:[/?]|$)/.test(url);
  return url.startsWith(prefix) && /^(?:[/?]|$)/.test(url.slice(prefix.length));
}

function pathOf({ url = '' }: IncomingMessage): string {
  const query = url.indexOf('?');
  return query < 0 ? url : url.slice(0, query);
}

/** The commonest mistake of a proxy is not to pass these headers on. */
function needsUpgrade({ headers }: IncomingMessage): Refusal {
  const has = (name: 'upgrade' | 'connection', value: RegExp) => value.test(headers[name] ?? '');
  const missing = [
    ...(has('upgrade', /^websocket$/i) ? [] : ['Upgrade: websocket']),
    ...(has('connection', /\bupgrade\b/i) ? [] : ['Connection: Upgrade']),
  ];
  return new Refusal(
    'upgrade_required',
    `This is a WebSocket. The request came without ${missing.map((each) => `"${each}"`).join(' and ')}; a proxy in between has to pass that on, over HTTP/1.1.`,
  );
}
