/**
 * SockJS over HTTP: what is served under its prefix, and what is refused before the library sees
 * it. Served are the transports `xhr-streaming`, `eventsource` and `xhr-polling`, `/info` and the
 * greeting; the other transports and the iframe page were for browsers nobody has any more.
 *
 * V11: the library gets a path of our own making, never the client's. A body is counted while it
 * is read and never kept beyond its limit. A session belongs to the address that opened it, since
 * its id is in the path of every request and whoever knows it could read and write for the peer.
 *
 * Not here: a session (`sockjs-session.ts`), bytes (`sockjs-framing.ts`), SockJS' own WebSocket
 * paths (`websocket.ts`; an upgrade never comes here).
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RefusalCode } from '../errors.js';
import { type Library, openLibrary } from './sockjs-library.js';
import { SockjsSession, type SockjsTransportName } from './sockjs-session.js';
import type { Accept } from './transport.js';

export interface SockjsOptions {
  /** Path under which everything is, such as `/sockjs`. */
  readonly prefix: string;
  /** Origins whose pages may connect; a request without Origin may always. Empty: any. */
  readonly origins: readonly string[];
  /** Largest body of a request, in bytes. */
  readonly maxBodyBytes: number;
  /** Largest single message, in bytes of UTF-8. */
  readonly maxMessageBytes: number;
  /** Time between the heartbeats of an open response. */
  readonly heartbeatMs: number;
  /** Bytes after which a stream is ended and the peer has to open the next: 128 KiB. */
  readonly responseLimitBytes?: number;
  /**
   * Time without an open response after which a session is lost: 10 s. What is on its way to the
   * peer has to arrive in it, so it bounds how slow a peer may be: the response limit within it.
   */
  readonly disconnectDelayMs?: number;
  /** The address of the peer behind a request, as `--trust-proxy` has it. */
  readonly address: (req: IncomingMessage) => string;
  readonly accept: Accept;
  /** Told of each request refused with a code. */
  readonly refused: (code: RefusalCode) => void;
}

/** The requests whose response a session sends on. */
const RECEIVERS: Readonly<Record<string, SockjsTransportName>> = {
  'POST xhr': 'xhr-polling',
  'POST xhr_streaming': 'xhr-streaming',
  'GET eventsource': 'eventsource',
};

const INFO = /^(?:\/info)?\/?$/;
const WEBSOCKET = /^(?:\/[\w%~-]{1,64}\/[\w%~-]{1,64})?\/websocket\/?$/;
/** Server and session are names the client has chosen; only the session's counts. */
const SESSION =
  /^\/[\w%~-]{1,64}\/(?<id>[\w%~-]{1,64})\/(?<action>xhr|xhr_send|xhr_streaming|eventsource)\/?$/;

const NO_STORE = { 'Cache-Control': 'no-store' };

const UTF8 = new TextDecoder('utf-8', { fatal: true });

export class SockjsServer {
  readonly #options: SockjsOptions;
  readonly #library: Library;
  readonly #disconnectDelayMs: number;
  /** By the id the client has chosen; also those that are over and still tell latecomers so. */
  readonly #sessions = new Map<string, SockjsSession>();
  /** The library keeps the sessions of all servers of a process in one place. */
  readonly #instance = randomUUID();
  #isClosed = false;

  /** @throws Error if the installed `sockjs` is not the release this is made for. */
  constructor(options: SockjsOptions) {
    this.#options = options;
    this.#disconnectDelayMs = options.disconnectDelayMs ?? 10_000;
    this.#library = openLibrary({
      prefix: options.prefix,
      heartbeatMs: options.heartbeatMs,
      disconnectDelayMs: this.#disconnectDelayMs,
      responseLimitBytes: options.responseLimitBytes ?? 128 * 1024,
    });
  }

  /** Answers a request under the prefix; false for any other. */
  handle(req: IncomingMessage, res: ServerResponse): boolean {
    const { prefix } = this.#options;
    const [path = ''] = (req.url ?? '').split('?', 1);
    if (path !== prefix && !path.startsWith(`${prefix}/`)) return false;
    this.#route(req, res, path.slice(prefix.length));
    return true;
  }

  /** Resets every session; requests from now on are refused. */
  close(): void {
    this.#isClosed = true;
    for (const session of this.#sessions.values()) session.reset('going_away');
  }

  #route(req: IncomingMessage, res: ServerResponse, path: string): void {
    const { origins, maxBodyBytes } = this.#options;
    const { origin, 'content-length': length = 0 } = req.headers;
    if (origin !== undefined && origins.length > 0 && !origins.includes(origin)) {
      return this.#refuse(res, 403, 'forbidden', `Pages of ${origin} may not connect.`);
    }
    res.setHeader('Access-Control-Allow-Origin', origin ?? '*');
    if (origin !== undefined) res.setHeader('Access-Control-Allow-Credentials', 'true');
    res.setHeader('Vary', 'Origin');
    if (this.#isClosed) {
      return this.#refuse(res, 503, 'shutting_down', 'The server is shutting down.');
    }
    if (Number(length) > maxBodyBytes) return this.#refuseBody(res);

    const { id, action } = SESSION.exec(path)?.groups ?? {};
    if (id !== undefined && action !== undefined) return this.#routeSession(req, res, id, action);
    if (INFO.test(path)) return this.#pass(req, res, path);
    if (WEBSOCKET.test(path)) {
      return this.#refuse(res, 400, 'bad_command', 'Only a WebSocket upgrade is understood here.');
    }
    this.#refuse(res, 404, 'not_found', 'There is no such SockJS transport.');
  }

  #routeSession(req: IncomingMessage, res: ServerResponse, id: string, action: string): void {
    const name = RECEIVERS[`${req.method} ${action}`];
    const isSend = req.method === 'POST' && action === 'xhr_send';
    // Left are a preflight, and methods that are not allowed.
    if (name === undefined && !isSend) return this.#pass(req, res, `/0/0/${action}`);

    const address = this.#options.address(req);
    const session = this.#sessions.get(id);
    if (session !== undefined && session.remoteAddress !== address) {
      return this.#refuse(res, 403, 'forbidden', 'The session was opened from another address.');
    }
    if (name !== undefined) return this.#receiver(req, res, { id, action, name, address });
    if (session === undefined) {
      return this.#refuse(res, 404, 'not_found', 'There is no such session.');
    }
    this.#send(req, res, session);
  }

  /** A response to send on: the first of a session, or the next. */
  #receiver(
    req: IncomingMessage,
    res: ServerResponse,
    { id, action, name, address }: ReceiverRequest,
  ): void {
    // Nothing is expected in the body; unread, it would hide that the peer has hung up.
    req.resume();
    // Asks nginx not to hold a stream back until it is over.
    res.setHeader('X-Accel-Buffering', 'no');
    const libraryId = `${this.#instance}-${id}`;
    const known = this.#sessions.get(id);
    if (known !== undefined) {
      if (known.name !== name) {
        return this.#refuse(res, 404, 'not_found', `The session is one of ${known.name}.`);
      }
      known.track(req, res);
      return this.#pass(req, res, `/0/${libraryId}/${action}`);
    }
    this.#pass(req, res, `/0/${libraryId}/${action}`);
    const opened = this.#library.find(libraryId);
    // The library could not open it, and has said so.
    if (opened === null) return;
    const session = new SockjsSession(name, address, opened, {
      maxMessageBytes: this.#options.maxMessageBytes,
      farewellMs: this.#disconnectDelayMs,
    });
    session.track(req, res);
    this.#sessions.set(id, session);
    opened.connection.once('close', () => this.#sessions.delete(id));
    session.start(this.#options.accept(session));
  }

  /** Messages from the peer. The 500s are the protocol's. */
  #send(req: IncomingMessage, res: ServerResponse, session: SockjsSession): void {
    readBody(req, this.#options.maxBodyBytes, (body) => {
      if (body === null) return this.#refuseBody(res);
      if (body.length === 0) return this.#refuse(res, 500, 'bad_json', 'Payload expected.');
      let messages: unknown;
      try {
        messages = JSON.parse(UTF8.decode(body));
      } catch {
        return this.#refuse(res, 500, 'bad_json', 'Broken JSON encoding.');
      }
      if (!Array.isArray(messages)) {
        return this.#refuse(res, 500, 'bad_command', 'Payload expected.');
      }
      session.receive(messages);
      res.writeHead(204, { ...NO_STORE, 'Content-Type': 'text/plain; charset=UTF-8' });
      res.end();
    });
  }

  /** Hands a request to the library, under a path in which nothing is left unchecked. */
  #pass(req: IncomingMessage, res: ServerResponse, path: string): void {
    req.url = this.#options.prefix + path;
    this.#library.handle(req, res);
  }

  #refuseBody(res: ServerResponse): void {
    const limit = `A body may have ${this.#options.maxBodyBytes} bytes.`;
    this.#refuse(res, 413, 'message_too_big', limit);
  }

  #refuse(res: ServerResponse, status: number, code: RefusalCode, message: string): void {
    this.#options.refused(code);
    res.writeHead(status, { ...NO_STORE, 'Content-Type': 'application/json; charset=UTF-8' });
    res.end(JSON.stringify({ code, message }));
  }
}

interface ReceiverRequest {
  readonly id: string;
  readonly action: string;
  readonly name: SockjsTransportName;
  readonly address: string;
}

/**
 * Reads a body of at most `maxBytes`; null as soon as there is more, and then nothing is kept of
 * it. One buffer, grown by doubling: a body in pieces of a byte must not cost more than one in one.
 */
function readBody(
  req: IncomingMessage,
  maxBytes: number,
  done: (body: Buffer | null) => void,
): void {
  let body: Buffer | null = Buffer.allocUnsafe(Math.min(4096, maxBytes));
  let length = 0;
  req.on('data', (chunk: Buffer) => {
    if (body === null) return;
    const needed = length + chunk.length;
    if (needed > maxBytes) {
      body = null;
      done(null);
      return;
    }
    if (needed > body.length) {
      const larger = Buffer.allocUnsafe(Math.min(Math.max(needed, 2 * body.length), maxBytes));
      body.copy(larger, 0, 0, length);
      body = larger;
    }
    chunk.copy(body, length);
    length = needed;
  });
  req.on('end', () => {
    if (body !== null) done(body.subarray(0, length));
  });
}
