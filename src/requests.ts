/**
 * HTTP requests on their way to whoever answers them, in turns (`turns.ts`): what one connection
 * asks for, and the bodies it sends, take no more of the loop than a member's commands do.
 *
 * V3: a connection has at most `MAX_IN_FLIGHT` requests that are not answered. With one more it is
 * refused (`rate_limited`) and ends when the others have their answers. What comes behind is not even
 * parsed: a read of 64 KiB has room for 1,800 requests, which would cost Node some 40 ms.
 *
 * V11: what the parser of Node refuses, or has waited for too long, is answered with a code like
 * everything else, behind the answers that are under way.
 *
 * Not here: answers (`http/`, `transport/sockjs.ts`), how long a request may take (`listeners.ts`).
 */
import { IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { REFUSAL, Refusal, type RefusalCode } from './errors.js';
import { endWithRefusal } from './transport/answer.js';
import { breakOff } from './transport/bodies.js';
import { resetSocket } from './transport/reset-socket.js';
import { onlyWebSockets, upgradable } from './transport/target.js';
import type { Share, Turns, Work } from './turns.js';

/** Requests of one connection that may be unanswered at a time: no client of ours pipelines. */
export const MAX_IN_FLIGHT = 32;

const TOO_MANY = new Refusal(
  'rate_limited',
  `${MAX_IN_FLIGHT} requests of this connection wait for their answers.`,
);

/** Of `clientError`: `code` is of llhttp or of Node, `reason` in words where it is of the former. */
type ParserError = NodeJS.ErrnoException & { readonly reason?: string };

/** Does one item for a request; true when there are more. */
type Step = () => boolean;

/** Has `step` done in the turn of the connection that `request` came on, behind what waits there. */
export type InTurn = (request: IncomingMessage, step: Step) => void;

export interface RequestsOptions {
  readonly turns: Turns;
  /** Told of each connection refused with a code. */
  refused(code: RefusalCode): void;
}

/** Of every server of the process: the parser of Node knows a request's socket and nothing else. */
const connections = new WeakMap<Socket, Connection>();

/** Whether a connection has as many requests unanswered as it may: the next is for `Requests.refuse`. */
export function isFull(socket: Socket): boolean {
  return connections.get(socket)?.isFull ?? false;
}

/** Requests of a server that has nothing else to serve. */
export const BoundedRequest = upgradable(IncomingMessage, { ...onlyWebSockets, isLast: isFull });

export class Requests {
  readonly #options: RequestsOptions;
  readonly inTurn: InTurn = (request, step) => this.#of(request.socket).do(step);

  constructor(options: RequestsOptions) {
    this.#options = options;
  }

  /** Has `answer` called when it is the turn of the request. */
  handle({ socket }: IncomingMessage, response: ServerResponse, answer: () => void): void {
    this.#of(socket).handle(response, answer);
  }

  /** Has `answer` called when it is the turn of the upgrade; nothing of the connection is ours after it. */
  upgrade({ socket }: IncomingMessage, answer: () => void): void {
    this.#of(socket).upgrade(answer);
  }

  /** To be asked for every upgrade: true when it is none, but a request that is too many. */
  refuse({ socket }: IncomingMessage): boolean {
    const connection = connections.get(socket);
    if (!connection?.isFull) return false;
    connection.refuse(TOO_MANY);
    return true;
  }

  /** To be called for each `clientError`: the connection ends, with an answer of ours if it is the parser's. */
  failed(error: ParserError, socket: Duplex): void {
    // Nobody is left to be answered, or nobody is there yet: a TLS handshake that failed.
    if (!OF_PARSER.test(error.code ?? '') || !socket.writable) socket.destroy();
    else this.#of(socket as Socket).fail(refusalOf(error));
  }

  #of(socket: Socket): Connection {
    let connection = connections.get(socket);
    if (connection === undefined) {
      connection = new Connection(socket, this.#options);
      connections.set(socket, connection);
    }
    return connection;
  }
}

class Connection implements Work {
  readonly #socket: Socket;
  readonly #options: RequestsOptions;
  readonly #share: Share;
  /** Each stays the first until it has no more items. */
  #steps: Step[] = [];
  /** Of requests that are not answered yet. */
  readonly #unanswered = new Set<ServerResponse>();
  #last: ServerResponse | null = null;
  /** What is answered last, when there is nothing else to answer; null before that is decided. */
  #refusal: Refusal | null = null;

  /** A request is a piece of work, whatever its length. */
  readonly waitingBytes = 0;
  readonly #closed = () => this.#drop();

  constructor(socket: Socket, options: RequestsOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#share = options.turns.share(this);
    socket.once('close', this.#closed);
  }

  get isFull(): boolean {
    return this.#unanswered.size >= MAX_IN_FLIGHT;
  }

  handle(response: ServerResponse, answer: () => void): void {
    this.#last = response;
    this.#unanswered.add(response);
    response.once('close', () => {
      this.#unanswered.delete(response);
      this.#endIfRefused();
    });
    this.do(() => {
      answer();
      return false;
    });
  }

  upgrade(answer: () => void): void {
    // Node has let go of the socket, and nobody else has it yet.
    this.#socket.on('error', ignore);
    this.do(() => {
      this.#drop();
      connections.delete(this.#socket);
      this.#socket.off('close', this.#closed);
      answer();
      this.#socket.off('error', ignore);
      return false;
    });
  }

  do(step: Step): void {
    if (this.#share.hasEnded) return;
    this.#steps.push(step);
    this.#share.run();
  }

  fail(refusal: Refusal): void {
    if (this.#refusal !== null) return;
    const request = this.#last?.req;
    const isInBody = request?.complete === false;
    // Whoever reads the body answers.
    if (isInBody && breakOff(request, refusal)) return;
    const isStreaming = [...this.#unanswered].some(
      (each) => each.headersSent && !each.writableEnded,
    );
    if (!isInBody && !isStreaming) {
      this.refuse(refusal);
      return;
    }
    // The request has been answered, or an answer would be taken for a part of what is being sent.
    this.#options.refused(refusal.code);
    this.#socket.destroy();
  }

  /** Nothing more is read; the connection ends with this answer. */
  refuse(refusal: Refusal): void {
    this.#options.refused(refusal.code);
    this.#refusal = refusal;
    // Node has let go of the socket as of one that is upgraded.
    this.#socket.on('error', ignore);
    this.#endIfRefused();
  }

  step(): boolean {
    const step = this.#steps[0];
    if (step !== undefined && !step()) this.#steps.shift();
    return this.#steps.length > 0;
  }

  held(): void {
    // What is in flight is bounded: there is nothing to hold back.
  }

  released(): void {
    // As above.
  }

  starved(): void {
    this.#drop();
    this.#options.refused(TOO_MANY.code);
    resetSocket(this.#socket);
  }

  failed(): void {
    this.#drop();
    this.#options.refused('internal_error');
    resetSocket(this.#socket);
  }

  #endIfRefused(): void {
    if (this.#refusal === null || this.#unanswered.size > 0) return;
    endWithRefusal(this.#socket, this.#refusal);
  }

  #drop(): void {
    this.#steps = [];
    this.#share.end();
  }
}

const ignore = () => {};

const OF_PARSER = /^(HPE|ERR_HTTP)_/;

function refusalOf({ code, reason }: ParserError): Refusal {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new Refusal('too_slow', 'The request did not arrive in time.');
  }
  if (code === 'HPE_HEADER_OVERFLOW') return new Refusal('head_too_big', REFUSAL.head_too_big.text);
  if (code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW') {
    return new Refusal('message_too_big', 'The extensions of a chunk are larger than 16 KiB.');
  }
  return new Refusal('bad_command', `What was sent is not HTTP: ${reason ?? code}.`);
}
