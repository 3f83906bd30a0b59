/**
 * HTTP requests between workers. Each worker listens on a unix socket of its own, with the same routes
 * as the port. Queries of the HTTP API go to all other workers. A SockJS request goes to the worker
 * that has its session, and the answer is piped back. V8: a query has a deadline, and repeating it ends
 * when either of the two workers ends. V3: a forwarded request buffers no more than a pipe does.
 *
 * Everything on such a socket comes from a worker: the folder is private.
 */
import { existsSync } from 'node:fs';
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
import { sleep } from '../sleep.js';
import { clearTimeout, setTimeout } from '../time.js';
import { answerRefusal } from '../transport/answer.js';

/** Timeout of a query, and pause before it is repeated, in milliseconds. */
const ASK_MS = 500;
/** Header with the client's address on a forwarded request. */
const ADDRESS = 'x-roomcast-address';
/** Matches a SockJS session URL. The client chooses the server id in it. */
const SESSION =
  /^\/sockjs\/[\w%~-]{1,64}\/(?<id>[\w%~-]{1,64})\/(?:xhr|xhr_send|xhr_streaming|eventsource)\/?(?:\?|$)/;
/** Hop-by-hop headers (RFC 9110, 7.6.1). */
const HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** The socket of a worker. */
export interface Address {
  readonly slot: number;
  readonly path: string;
}

export interface PeersOptions {
  readonly slot: number;
  readonly slots: number;
  /** The option of this worker; requests from others are moved below it. Theirs may differ. */
  readonly pathPrefix: string;
  /** Path of the socket of a slot's current worker; null if there is none. */
  pathOf(slot: number): string | null;
  /** All other workers that listen, with or without a slot. */
  listening(): readonly Address[];
  ownedRooms(): number;
  missed(): void;
}

export class Peers implements Contract {
  readonly slot: number;
  readonly count: number;
  readonly #options: PeersOptions;
  readonly #sockets = new WeakSet<Socket>();
  readonly #agent = new Agent({ keepAlive: true });
  readonly #closed = new AbortController();
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
    const server = createServer(
      { requireHostHeader: false, keepAliveTimeout: 60_000 },
      (request, response) => {
        request.url = this.#withPrefix(request.url ?? '');
        answer(request, response);
      },
    );
    server.on('connection', (socket) => this.#sockets.add(socket));
    this.#server = server;
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen({ path, exclusive: true }, resolve);
    });
  }

  close(): void {
    this.#closed.abort();
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
    const all = await this.#askEach(question);
    for (const [address, answer] of all) void this.#insist(address, question, answer);
    const answers = all.flatMap(([, answer]) => answer ?? []);
    const answered = new Set(answers.map(({ slot }) => slot));
    const missing = new Set(this.#others.filter((slot) => !answered.has(slot)));
    for (const [{ slot }, answer] of all) if (answer === null) missing.add(slot);
    for (const _ of missing) this.#options.missed();
    return { answers, missing: [...missing].sort((a, b) => a - b) };
  }

  async askUntilDone(question: Question): Promise<readonly Answer[]> {
    const all = await this.#askEach(question);
    const last = await Promise.all(
      all.map(([address, answer]) => this.#insist(address, question, answer)),
    );
    return last.filter((answer) => answer !== null);
  }

  /** Slots of the other workers. */
  get #others(): number[] {
    return Array.from({ length: this.count }, (_, slot) => slot).filter(
      (slot) => slot !== this.slot,
    );
  }

  #askEach(question: Question): Promise<[Address, Answer | null][]> {
    const { listening, pathOf } = this.#options;
    const addresses = question.isEverywhere
      ? listening()
      : this.#others.flatMap((slot) => {
          const path = pathOf(slot);
          return path === null ? [] : { slot, path };
        });
    return Promise.all(
      addresses.map(async (address) => [address, await this.#ask(address, question)] as const),
    ) as Promise<[Address, Answer | null][]>;
  }

  /** Repeats a query until its answer is acceptable. Returns the last answer. */
  async #insist(
    address: Address,
    question: Question,
    first: Answer | null,
  ): Promise<Answer | null> {
    for (let answer = first; ; answer = await this.#ask(address, question)) {
      if (!question.insists?.(answer)) return answer;
      await sleep(ASK_MS, this.#closed.signal);
      // A new worker learns by itself what this query is about.
      if (this.#closed.signal.aborted || !existsSync(address.path)) return null;
      // The condition may have changed meanwhile.
      if (!question.insists(answer)) return answer;
    }
  }

  /** Returns null if no answer arrives in time. */
  #ask(
    { slot, path: socketPath }: Address,
    { method, url: path, body, headers: own }: Question,
  ): Promise<Answer | null> {
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
    const { method, url: path } = request;
    const headers = { ...endToEnd(request.headers), [ADDRESS]: address };
    const passed = httpRequest({ socketPath, method, path, headers, agent: this.#agent });
    passed.on('error', refuse);
    passed.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 502, endToEnd(answer.headers));
      answer.on('error', refuse);
      answer.pipe(response);
    });
    // If the client disconnects, the forwarded request is aborted too.
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
  'The worker that has this session is unavailable; try again.',
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
