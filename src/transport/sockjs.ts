/**
 * SockJS over HTTP: what is served under its prefix, and what is refused before the library sees
 * it. Served are the transports `xhr-streaming`, `eventsource` and `xhr-polling`, `/info` and the
 * greeting; the other transports and the iframe page were for browsers nobody has any more.
 *
 * V11: the library gets a path in which nothing is left unchecked, and no body. V3: of a body only
 * the message under way is kept, and a session has one body under way.
 *
 * A session is whoever's who knows its id: the client chose it at random and sends it in the path of
 * every request. An address would be no proof of it (behind two proxies, or on a phone, a peer has
 * several), so what protects the session is that its id cannot be guessed: it is never logged, and an
 * address that asks for sessions that are not there gets no session that it has not opened itself.
 *
 * Not here: a session (`sockjs-session.ts`), bytes (`sockjs-framing.ts`), SockJS' own WebSocket
 * path (`sockjs-websocket.ts`; an upgrade never comes here), how long a request may take to arrive
 * (`requestTimeout` of the HTTP server).
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { REFUSAL, Refusal, type RefusalCode } from '../errors.js';
import { ownText } from '../own-text.js';
import { networkOf } from './address.js';
import { answerRefusal } from './answer.js';
import type { Bodies } from './bodies.js';
import type { Watch } from './progress.js';
import { MessageReader } from './sockjs-body.js';
import { type Library, openLibrary } from './sockjs-library.js';
import { SockjsSession, type SockjsTransportName } from './sockjs-session.js';
import { Strangers } from './strangers.js';
import type { Accept } from './transport.js';

export interface SockjsOptions {
  /** Path under which everything is, such as `/sockjs`. */
  readonly prefix: string;
  /** Where clients are to go from `/info`, since sessions live here; empty: where they came. */
  readonly baseUrl?: string;
  /** Origins whose pages may connect; a request without Origin may always. Empty: any. */
  readonly origins: readonly string[];
  /** Largest body of a request, in bytes. It may hold many messages. */
  readonly maxBodyBytes: number;
  /** Largest message, in bytes. */
  readonly maxMessageBytes: number;
  readonly bodies: Bodies;
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
  /** The body that is under way for a session. */
  readonly #sending = new Map<SockjsSession, IncomingMessage>();
  /** Who asks for sessions that are not there. */
  readonly #strangers = new Strangers();
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
      baseUrl: options.baseUrl ?? '',
    });
  }

  /** Answers a request under the prefix; false for any other, which is left alone. */
  handle(req: IncomingMessage, res: ServerResponse): boolean {
    const { prefix } = this.#options;
    const [path = ''] = (req.url ?? '').split('?', 1);
    if (path !== prefix && !path.startsWith(`${prefix}/`)) return false;
    this.#answer(res, this.#route(req, res, path.slice(prefix.length)));
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
    if (Number(length) > maxBodyBytes) {
      const { code, message } = tooBig(maxBodyBytes);
      return refuse(413, code, message);
    }

    const { id, action } = SESSION.exec(path)?.groups ?? {};
    if (id !== undefined && action !== undefined) {
      return this.#routeSession(req, res, { id: ownText(id), action, address: address(req) });
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
    const isStranger = session !== undefined && session.remoteAddress !== address;
    if (isStranger && this.#strangers.isGuessing(networkOf(address))) return NO_SESSION;
    if (name !== undefined && session !== undefined && session.name !== name) {
      return refuse(404, 'not_found', `The session is one of ${session.name}.`);
    }
    if (name !== undefined) return this.#receiver(req, res, request, name);
    if (session === undefined) {
      this.#strangers.missed(networkOf(address));
      return NO_SESSION;
    }
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
    const { headers, url = '' } = req;
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
    session.start(this.#options.accept(session, { headers, url, address }));
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

  /** Reads the messages of a body and hands over each as soon as it is whole. */
  #send(req: IncomingMessage, res: ServerResponse, session: SockjsSession): Refused | undefined {
    const { bodies, inTurn, maxBodyBytes, maxMessageBytes } = this.#options;
    if (this.#sending.has(session)) {
      return refuse(
        429,
        'rate_limited',
        'A body of this session is under way; wait for its answer.',
      );
    }
    this.#sending.set(session, req);
    const gathered = bodies.gather(req);
    const reader = new MessageReader(gathered, maxMessageBytes, {
      message: (text) => session.receive(text),
      notText: () => session.fault('protocol_error'),
      tooLong: () => session.fault('message_too_big'),
    });
    const done = () => {
      req.socket.off('close', done);
      gathered.release();
      if (this.#sending.get(session) === req) this.#sending.delete(session);
    };
    let length = 0;
    let isRefused = false;
    const attempt = (read: () => void) => {
      try {
        if (!isRefused) read();
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        isRefused = true;
        done();
        const { code, message } = error;
        // Of what is sent wrong, as the protocol has it.
        const status = code === 'bad_json' || code === 'bad_command' ? 500 : REFUSAL[code].status;
        this.#answer(res, { status, code, message });
      }
    };
    bodies.read(req, {
      // A message at a time, as it is the peer's turn; meanwhile nothing more is read.
      chunk: (chunk) => {
        length += chunk.length;
        let at = 0;
        req.pause();
        inTurn(req, () => {
          attempt(() => {
            if (length > maxBodyBytes) throw tooBig(maxBodyBytes);
            at = reader.read(chunk, at);
          });
          if (!isRefused && at < chunk.length) return true;
          req.resume();
          return false;
        });
      },
      brokenOff: (refusal) => {
        attempt(() => {
          throw refusal;
        });
      },
      // Behind the last chunk, which may still wait for its turn.
      end: () => {
        inTurn(req, () => {
          attempt(() => {
            reader.end();
            done();
            res.writeHead(204, { ...NOT_CACHED, 'Content-Type': 'text/plain; charset=UTF-8' });
            res.end();
          });
          return false;
        });
      },
    });
    req.socket.once('close', done);
    return undefined;
  }

  #pass(req: IncomingMessage, res: ServerResponse, path: string): undefined {
    req.url = this.#options.prefix + path;
    this.#library.handle(req, res);
  }

  #answer(res: ServerResponse, refused: Refused | undefined): void {
    if (refused === undefined) return;
    this.#options.refused(refused.code);
    answerRefusal(res, refused, NOT_CACHED, refused.status);
  }
}

function refuse(status: number, code: RefusalCode, message: string): Refused {
  return { status, code, message };
}

const NO_SESSION = refuse(404, 'not_found', 'There is no such session.');

const tooBig = (maxBytes: number): Refusal =>
  new Refusal('message_too_big', `A body may have ${maxBytes} bytes.`);
