/**
 * SockJS over HTTP: what is served under its prefix, and what is refused before the library sees
 * it. Served are the transports `xhr-streaming`, `eventsource` and `xhr-polling`, `/info` and the
 * greeting; the other transports and the iframe page were for browsers nobody has any more.
 *
 * V11: the library gets a path in which nothing is left unchecked, and no body. A body is counted
 * while it is read and never kept beyond its limit. A session belongs to the address that opened
 * it: its id is in the path of every request, and whoever knows it could read and write for the peer.
 *
 * Not here: a session (`sockjs-session.ts`), bytes (`sockjs-framing.ts`), SockJS' own WebSocket
 * path (`sockjs-websocket.ts`; an upgrade never comes here), how long a request may take to arrive
 * (`requestTimeout` of the HTTP server).
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RefusalCode } from '../errors.js';

import { answerRefusal } from './answer.js';

import type { Watch } from './progress.js';

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
  /** Milliseconds between the heartbeats of an open response. */
  readonly heartbeatMs: number;
  /** Bytes after which a stream is ended and the peer has to open the next: 128 KiB. */
  readonly responseLimitBytes?: number;
  /**
   * Milliseconds without an open response after which a session is lost: 10,000. The end of the
   * last response has to reach the peer in that time, so it says how slow a peer may be.
   */
  readonly disconnectDelayMs?: number;
  /** The address of the peer behind a request, as `--trust-proxy` has it. */
  readonly address: (req: IncomingMessage) => string;
  readonly accept: Accept;
  /** Does something in the turn of the connection a request came on; true when there is more of it. */
  readonly inTurn: (req: IncomingMessage, step: () => boolean) => void;
  /** Told of each response that a session sends on. */
  readonly streaming?: (req: IncomingMessage, res: ServerResponse) => void;
  readonly watch: Watch;
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

/** Sessions that may linger: more come and go in a flood than the wait for latecomers would let go. */
const MAX_LINGERING = 256;

/** As the library says it for other answers. */
const NOT_CACHED = {
  'Cache-Control': 'no-store, no-cache, no-transform, must-revalidate, max-age=0',
};
const UTF8 = new TextDecoder('utf-8', { fatal: true });

/** What is answered to a request that is not carried out. The 500s are those of the protocol. */
interface Refused {
  readonly status: number;
  readonly code: RefusalCode;
  readonly message: string;
}

interface SessionRequest {
  readonly id: string;
  readonly action: string;
  readonly address: string;
}

export class SockjsServer {
  readonly #options: SockjsOptions;
  readonly #library: Library;
  /** By the id the client has chosen; also those that linger. */
  readonly #sessions = new Map<string, SockjsSession>();
  /** Ended, and kept to tell so to whoever comes late; the oldest first. */
  readonly #lingering = new Set<SockjsSession>();
  /** The library keeps the sessions of all servers of a process in one place. */
  readonly #instance = randomUUID();
  readonly #disconnectDelayMs: number;
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

  /** Answers a request under the prefix; false for any other, which is left alone. */
  handle(req: IncomingMessage, res: ServerResponse): boolean {
    const { prefix } = this.#options;
    const [path = ''] = (req.url ?? '').split('?', 1);
    if (path !== prefix && !path.startsWith(`${prefix}/`)) return false;
    this.#answer(req, res, this.#route(req, res, path.slice(prefix.length)));
    return true;
  }

  /** Resets every session; requests from now on are refused. */
  close(): void {
    this.#isClosed = true;
    for (const session of this.#sessions.values()) session.reset('going_away');
  }

  #route(req: IncomingMessage, res: ServerResponse, path: string): Refused | undefined {
    const { origins, maxBodyBytes, address } = this.#options;
    const { origin, 'content-length': length = 0 } = req.headers;
    if (origin !== undefined && origins.length > 0 && !origins.includes(origin)) {
      return refuse(403, 'forbidden', `Pages of ${origin} may not connect.`);
    }
    res.setHeader('Access-Control-Allow-Origin', origin ?? '*');
    if (origin !== undefined) res.setHeader('Access-Control-Allow-Credentials', 'true');
    res.setHeader('Vary', 'Origin');
    if (this.#isClosed) return refuse(503, 'shutting_down', 'The server is shutting down.');
    if (Number(length) > maxBodyBytes) return tooBig(maxBodyBytes);

    const { id, action } = SESSION.exec(path)?.groups ?? {};
    if (id !== undefined && action !== undefined) {
      return this.#routeSession(req, res, { id, action, address: address(req) });
    }
    if (INFO.test(path)) return this.#pass(req, res, path);
    if (WEBSOCKET.test(path)) return this.#refuseNoUpgrade(req, res);
    return refuse(404, 'not_found', 'There is no such SockJS transport.');
  }

  #routeSession(
    req: IncomingMessage,
    res: ServerResponse,
    request: SessionRequest,
  ): Refused | undefined {
    const { id, action, address } = request;
    const name = RECEIVERS[`${req.method} ${action}`];
    const isSend = req.method === 'POST' && action === 'xhr_send';
    // Left are a preflight, and methods that are not allowed.
    if (name === undefined && !isSend) return this.#pass(req, res, `/0/0/${action}`);

    const session = this.#sessions.get(id);
    if (session !== undefined && session.remoteAddress !== address) {
      return refuse(403, 'forbidden', 'The session was opened from another address.');
    }
    if (name !== undefined && session !== undefined && session.name !== name) {
      return refuse(404, 'not_found', `The session is one of ${session.name}.`);
    }
    if (name !== undefined) return this.#receiver(req, res, request, name);
    if (session === undefined) return refuse(404, 'not_found', 'There is no such session.');
    return this.#send(req, res, session);
  }

  /** A response to send on: the next of a session, or the first of a new one. */
  #receiver(
    req: IncomingMessage,
    res: ServerResponse,
    { id, action, address }: SessionRequest,
    name: SockjsTransportName,
  ): undefined {
    // Nothing is expected in the body; unread, it would hide that the peer has hung up.
    req.resume();
    // Asks nginx not to hold a stream back until it is over.
    res.setHeader('X-Accel-Buffering', 'no');
    const libraryId = `${this.#instance}-${id}`;
    this.#options.streaming?.(req, res);
    this.#sessions.get(id)?.track(req, res);
    this.#pass(req, res, `/0/${libraryId}/${action}`);
    if (this.#sessions.has(id)) return;
    const opened = this.#library.find(libraryId);
    // The library could not open it, and has said so.
    if (opened === null) return;
    const times = { watch: this.#options.watch, disconnectDelayMs: this.#disconnectDelayMs };
    const session = new SockjsSession(name, address, opened, times, (ended) => this.#linger(ended));
    session.track(req, res);
    this.#sessions.set(id, session);
    opened.connection.once('close', () => {
      this.#sessions.delete(id);
      this.#lingering.delete(session);
    });
    session.start(this.#options.accept(session));
  }

  /** In the words of the protocol. */
  #refuseNoUpgrade({ method, headers }: IncomingMessage, res: ServerResponse): Refused | undefined {
    if (method !== 'GET') {
      this.#options.refused('method_not_allowed');
      res.writeHead(405, { Allow: 'GET' }).end();
      return undefined;
    }
    const isOffered = headers.upgrade?.toLowerCase() === 'websocket';
    const message = isOffered
      ? '"Connection" must be "Upgrade".'
      : 'Can "Upgrade" only to "WebSocket".';
    return refuse(400, 'upgrade_required', message);
  }

  #linger(session: SockjsSession): void {
    this.#lingering.add(session);
    if (this.#lingering.size <= MAX_LINGERING) return;
    const [oldest] = this.#lingering;
    oldest?.reset('lost');
  }

  #send(req: IncomingMessage, res: ServerResponse, session: SockjsSession): undefined {
    const { maxBodyBytes } = this.#options;
    readBody(req, maxBodyBytes, (body) => {
      if (body === null) this.#answer(req, res, tooBig(maxBodyBytes));
      else this.#receive(req, res, session, body);
    });
  }

  /** Hands over what is in a body a message at a time, as it is the peer's turn. */
  #receive(req: IncomingMessage, res: ServerResponse, session: SockjsSession, body: Buffer): void {
    let messages: unknown[] | null = null;
    let next = 0;
    this.#options.inTurn(req, () => {
      if (messages === null) {
        const parsed = parse(body);
        if (!Array.isArray(parsed)) {
          this.#answer(req, res, parsed);
          return false;
        }
        messages = parsed;
      } else {
        session.receive(messages[next]);
        next += 1;
      }
      if (next < messages.length) return true;
      res.writeHead(204, { ...NOT_CACHED, 'Content-Type': 'text/plain; charset=UTF-8' });
      res.end();
      return false;
    });
  }

  #pass(req: IncomingMessage, res: ServerResponse, path: string): undefined {
    req.url = this.#options.prefix + path;
    this.#library.handle(req, res);
  }

  #answer(req: IncomingMessage, res: ServerResponse, refused: Refused | undefined): void {
    if (refused === undefined) return;
    this.#options.refused(refused.code);
    answerRefusal(req, res, refused, NOT_CACHED, refused.status);
  }
}

function refuse(status: number, code: RefusalCode, message: string): Refused {
  return { status, code, message };
}

const tooBig = (maxBytes: number): Refused =>
  refuse(413, 'message_too_big', `A body may have ${maxBytes} bytes.`);

function parse(body: Buffer): unknown[] | Refused {
  if (body.length === 0) return refuse(500, 'bad_json', 'Payload expected.');
  try {
    const value: unknown = JSON.parse(UTF8.decode(body));
    return Array.isArray(value) ? value : refuse(500, 'bad_command', 'Payload expected.');
  } catch {
    return refuse(500, 'bad_json', 'Broken JSON encoding.');
  }
}

/**
 * Reads a body of at most `maxBytes`; null as soon as there is more, and then nothing is kept of
 * it. Into one buffer, grown by doubling: in pieces of a byte it must not cost more than in one.
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
