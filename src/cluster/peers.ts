/**
 * Requests between workers: each listens on a unix socket of its own, with the same entrance as the
 * port. Questions of the HTTP API go to all others; a request for a session of SockJS goes to the one that
 * has it, and its answer is piped back. V8: a question has a deadline. V3: of a request that is passed on,
 * a pipe's worth is held.
 *
 * What comes on such a socket comes from a worker: that folder is private.
 */
import {
  Agent,
  createServer,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { Socket } from 'node:net';
import { slotOf } from '../broker/mesh/slots.js';
import { Refusal } from '../errors.js';
import type { Answer, Answers, Peers as Contract, Question } from '../http/peers.js';
import { clearTimeout, setTimeout } from '../time.js';
import { answerRefusal } from '../transport/answer.js';

/** How long a worker may take to answer a question, in milliseconds. */
const ASK_MS = 500;
/** The address of the peer behind a request that is passed on. */
const ADDRESS = 'x-roomcast-address';
/** Where a session is: the name of the server is the client's own. */
const SESSION =
  /^\/sockjs\/[\w%~-]{1,64}\/(?<id>[\w%~-]{1,64})\/(?:xhr|xhr_send|xhr_streaming|eventsource)\/?(?:\?|$)/;
/** Of one connection (RFC 9110, 7.6.1). */
const HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

export interface PeersOptions {
  readonly slot: number;
  readonly slots: number;
  /** Of the options: what is passed on has it again. */
  readonly pathPrefix: string;
  /** Where the worker of a slot listens now; null while there is none. */
  pathOf(slot: number): string | null;
  ownedRooms(): number;
  missed(): void;
}

export class Peers implements Contract {
  readonly slot: number;
  readonly count: number;
  readonly #options: PeersOptions;
  readonly #sockets = new WeakSet<Socket>();
  readonly #agent = new Agent({ keepAlive: true });
  #server: Server | null = null;

  constructor(options: PeersOptions) {
    this.#options = options;
    this.slot = options.slot;
    this.count = options.slots;
  }

  listen(
    path: string,
    answer: (request: IncomingMessage, response: ServerResponse) => void,
  ): Promise<void> {
    const server = createServer({ requireHostHeader: false, keepAliveTimeout: 60_000 }, answer);
    server.on('connection', (socket) => this.#sockets.add(socket));
    this.#server = server;
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen({ path, exclusive: true }, resolve);
    });
  }

  close(): void {
    this.#agent.destroy();
    this.#server?.close();
    this.#server?.closeAllConnections();
  }

  isPeer({ socket }: IncomingMessage): boolean {
    return this.#sockets.has(socket);
  }

  addressOf(request: IncomingMessage): string | null {
    return this.isPeer(request) ? String(request.headers[ADDRESS] ?? '') : null;
  }

  ownedRooms(): number {
    return this.#options.ownedRooms();
  }

  async ask(question: Question): Promise<Answers> {
    const slots = Array.from({ length: this.count }, (_, slot) => slot).filter(
      (slot) => slot !== this.slot,
    );
    const all = await Promise.all(slots.map((slot) => this.#ask(slot, question)));
    const missing = slots.filter((_, i) => all[i] === null);
    for (const slot of missing) {
      this.#options.missed();
      if (question.isInsistent) void this.#insist(slot, question);
    }
    return { answers: all.filter((answer): answer is Answer => answer !== null), missing };
  }

  /** A worker that comes anew knows already what this is about. */
  async #insist(slot: number, question: Question): Promise<void> {
    const path = this.#options.pathOf(slot);
    for (;;) {
      await new Promise<void>((resolve) => void setTimeout(resolve, ASK_MS).unref());
      if (this.#server?.listening !== true || this.#options.pathOf(slot) !== path) return;
      if ((await this.#ask(slot, question)) !== null) return;
    }
  }

  /** Null without an answer in time. */
  #ask(slot: number, { method, url, body, headers: own }: Question): Promise<Answer | null> {
    const socketPath = this.#options.pathOf(slot);
    if (socketPath === null) return Promise.resolve(null);
    return new Promise((resolve) => {
      const text = body === undefined ? undefined : JSON.stringify(body);
      const headers = {
        host: 'localhost',
        [ADDRESS]: '127.0.0.1',
        ...own,
        ...(text !== undefined && {
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(text),
        }),
      };
      const path = this.#withPrefix(url);
      const asked = httpRequest({ socketPath, method, path, headers, agent: this.#agent });
      const timer = setTimeout(() => asked.destroy(new Error('late')), ASK_MS);
      const finish = (answer: Answer | null) => {
        clearTimeout(timer);
        resolve(answer);
      };
      asked.on('error', () => finish(null));
      asked.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', () => finish(null));
        response.on('end', () => finish(answerOf(slot, response, Buffer.concat(chunks))));
      });
      asked.end(text);
    });
  }

  /** As `Seat.forward`. */
  forward(request: IncomingMessage, response: ServerResponse, address: string): boolean {
    if (this.isPeer(request)) return false;
    const { id } = SESSION.exec(request.url ?? '')?.groups ?? {};
    if (id === undefined) return false;
    const slot = slotOf(id, this.count);
    if (slot === this.slot) return false;
    const socketPath = this.#options.pathOf(slot);
    const refuse = () => {
      if (response.headersSent || response.destroyed) response.destroy();
      else answerRefusal(response, NOT_THERE, { 'Cache-Control': 'no-store' });
    };
    if (socketPath === null) {
      refuse();
      return true;
    }
    const { method } = request;
    const headers = { ...endToEnd(request.headers), [ADDRESS]: address };
    const path = this.#withPrefix(request.url ?? '');
    const passed = httpRequest({ socketPath, method, path, headers, agent: this.#agent });
    passed.on('error', refuse);
    passed.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 502, endToEnd(answer.headers));
      answer.on('error', refuse);
      answer.pipe(response);
    });
    // Who hangs up here hangs up there.
    response.once('close', () => passed.destroy());
    request.pipe(passed);
    return true;
  }

  #withPrefix(url: string): string {
    const { pathPrefix } = this.#options;
    return pathPrefix === '/' ? url : pathPrefix + url;
  }
}

const NOT_THERE = new Refusal(
  'worker_unavailable',
  'The worker that has this session is not there; ask again.',
);

function answerOf(slot: number, { statusCode = 0 }: IncomingMessage, body: Buffer): Answer | null {
  try {
    const value: unknown = body.length === 0 ? null : JSON.parse(body.toString());
    return { slot, status: statusCode, body: value };
  } catch {
    return null;
  }
}

function endToEnd(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !HOP.has(name)));
}
