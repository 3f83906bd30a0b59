/**
 * SockJS over HTTP: routes the paths under its prefix and refuses bad requests before the library sees
 * them. Serves the transports `xhr-streaming`, `eventsource` and `xhr-polling`, `/info` and the
 * greeting. The other transports and the iframe page served browsers that are no longer in use.
 *
 * V11: the library gets only checked paths and no body. V3: only the message being read of a body is
 * buffered, and a session has one body in flight.
 *
 * The session id is the only credential of a session: the client chose it at random and sends it in the
 * path of every request. The address proves nothing (behind two proxies, or on a phone, a peer has
 * several). So the id is never logged, and an address that asks for missing sessions too often gets only
 * sessions that it opened itself.
 *
 * Not here: a session (`sockjs-session.ts`), framing (`sockjs-framing.ts`), SockJS's WebSocket path
 * (`sockjs-websocket.ts`; upgrades never come here), request timeouts (`requestTimeout` of the HTTP
 * server).
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
  /** Path prefix, such as `/sockjs`. */
  readonly prefix: string;
  /**
   * URL that `/info` directs clients to, since sessions live on this server; empty: the one they used.
   */
  readonly baseUrl?: string;
  /** Allowed origins; a request without Origin is always allowed. Empty: any. */
  readonly origins: readonly string[];
  /** Maximum body of a request, in bytes. It may contain many messages. */
  readonly maxBodyBytes: number;
  /** Maximum message, in bytes. */
  readonly maxMessageBytes: number;
  readonly bodies: Bodies;
  /** Milliseconds between heartbeats on an open response. */
  readonly heartbeatMs: number;
  /** Bytes after which a stream ends and the peer has to open the next; default 128 KiB. */
  readonly responseLimitBytes?: number;
  /**
   * Milliseconds without an open response after which a session is lost; default 10,000. The end of the
   * last response has to reach the peer within it, so it limits how slow a peer may be.
   */
  readonly disconnectDelayMs?: number;
  /** The address of the peer behind a request, resolved by `trustProxy`. */
  readonly address: (req: IncomingMessage) => string;
  readonly accept: Accept;
  /** Runs `step` in the turn of the request's connection, again while it returns true. */
  readonly inTurn: (req: IncomingMessage, step: () => boolean) => void;
  /** Called for each response that a session sends on. */
  readonly streaming?: (req: IncomingMessage, res: ServerResponse) => void;
  readonly watch: Watch;
  /** Called for each request refused with a code. */
  readonly refused: (code: RefusalCode) => void;
}

/** Requests whose response a session sends on. */
const RECEIVERS: Readonly<Record<string, SockjsTransportName>> = {
  'POST xhr': 'xhr-polling',
  'POST xhr_streaming': 'xhr-streaming',
  'GET eventsource': 'eventsource',
};

const INFO = /^(?:\/info)?\/?$/;
const WEBSOCKET = /^(?:\/[\w%~-]{1,64}\/[\w%~-]{1,64})?\/websocket\/?$/;
/** The client chooses both names, server and session; only the session's counts. */
const SESSION =
  /^\/[\w%~-]{1,64}\/(?<id>[\w%~-]{1,64})\/(?<action>xhr|xhr_send|xhr_streaming|eventsource)\/?$/;

/** Maximum ended sessions kept for late requests; bounds them during a flood. */
const MAX_LINGERING = 256;

/** The library's headers for its own responses. */
const NOT_CACHED = {
  'Cache-Control': 'no-store, no-cache, no-transform, must-revalidate, max-age=0',
};

/** Response to a refused request. Status 500 is what the protocol requires. */
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
  /** By the client's id; includes lingering sessions. */
  readonly #sessions = new Map<string, SockjsSession>();
  /** Ended sessions, kept to answer late requests; oldest first. */
  readonly #lingering = new Set<SockjsSession>();
  /** Counts requests for missing sessions. */
  readonly #strangers = new Strangers();
  /** Prefix for ids: the library keeps the sessions of all servers of the process in one map. */
  readonly #instance = randomUUID();
  readonly #disconnectDelayMs: number;
  #isClosed = false;

  /** @throws Error if the installed `sockjs` is not the supported release */
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

  /** Handles a request under the prefix; returns false for any other. */
  handle(req: IncomingMessage, res: ServerResponse): boolean {
    const { prefix } = this.#options;
    const [path = ''] = (req.url ?? '').split('?', 1);
    if (path !== prefix && !path.startsWith(`${prefix}/`)) return false;
    this.#answer(res, this.#route(req, res, path.slice(prefix.length)));
    return true;
  }

  /** Resets every session and refuses later requests. */
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
    // The rest are preflights and methods that are not allowed.
    if (name === undefined && !isSend) return this.#pass(req, res, `/0/0/${action}`);

    const session = this.#sessions.get(id);
    const isStranger = session !== undefined && session.remoteAddress !== address;
    if (isStranger && this.#strangers.isGuessing(networkOf(address))) return NO_SESSION;
    if (name !== undefined && session !== undefined && session.name !== name) {
      return refuse(404, 'not_found', `The session uses the transport ${session.name}.`);
    }
    if (name !== undefined) return this.#receiver(req, res, request, name);
    if (session === undefined) {
      this.#strangers.missed(networkOf(address));
      return NO_SESSION;
    }
    return this.#send(req, res, session);
  }

  /** Opens the next response of a session, or the first of a new one. */
  #receiver(
    req: IncomingMessage,
    res: ServerResponse,
    { id, action, address }: SessionRequest,
    name: SockjsTransportName,
  ): undefined {
    // No body is expected; an unread one would hide that the peer has disconnected.
    req.resume();
    const { headers, url = '' } = req;
    // Tells nginx not to buffer the stream.
    res.setHeader('X-Accel-Buffering', 'no');
    const libraryId = `${this.#instance}-${id}`;
    this.#options.streaming?.(req, res);
    this.#sessions.get(id)?.track(req, res);
    this.#pass(req, res, `/0/${libraryId}/${action}`);
    if (this.#sessions.has(id)) return;
    const opened = this.#library.find(libraryId);
    // The library could not open it and has answered.
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

  /** Uses the texts of the SockJS protocol. */
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

  /** Reads the messages of a body and hands over each as soon as it is complete. */
  #send(req: IncomingMessage, res: ServerResponse, session: SockjsSession): Refused | undefined {
    const { bodies, inTurn, maxBodyBytes, maxMessageBytes } = this.#options;
    if (session.sending !== null) {
      return refuse(
        429,
        'rate_limited',
        'This session is still sending a body; wait for its response.',
      );
    }
    session.sending = req;
    const gathered = bodies.gather(req);
    const reader = new MessageReader(gathered, maxMessageBytes, {
      message: (text) => session.receive(text),
      notText: () => session.fault('protocol_error'),
      tooLong: () => session.fault('message_too_big'),
    });
    const done = () => {
      req.socket.off('close', done);
      gathered.release();
      if (session.sending === req) session.sending = null;
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
        // The status SockJS requires for malformed input.
        const status = code === 'bad_json' || code === 'bad_command' ? 500 : REFUSAL[code].status;
        this.#answer(res, { status, code, message });
      }
    };
    bodies.read(req, {
      // One message per step of the peer's turn; reading is paused meanwhile.
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
      // After the last chunk, which may still wait for its turn.
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
  new Refusal('message_too_big', `A body may have at most ${maxBytes} bytes.`);
