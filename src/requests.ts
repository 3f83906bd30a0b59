/**
 * HTTP requests on their way to whoever answers them, in turns (`turns.ts`): what one connection
 * asks for, and the bodies it sends, take no more of the loop than a member's commands do.
 *
 * V3: a connection has at most `MAX_IN_FLIGHT` requests that are not answered. With one more it is
 * refused (`rate_limited`) and ends when the others have their answers. What comes behind is not even
 * parsed: a read of 64 KiB has room for 1,800 requests, which would cost Node some 40 ms.
 *
 * Not here: answers (`http/`, `transport/sockjs.ts`), upgrades, how long a request may take to arrive.
 */
import { IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { REFUSAL, type RefusalCode } from './errors.js';
import { resetSocket } from './transport/reset-socket.js';
import { onlyWebSockets, upgradable } from './transport/target.js';
import type { Share, Turns, Work } from './turns.js';

/** Requests of one connection that may be unanswered at a time: no client of ours pipelines. */
export const MAX_IN_FLIGHT = 32;

const CODE = 'rate_limited';

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

  /** To be asked for every upgrade: true when it is none, but a request that is too many. */
  refuse({ socket }: IncomingMessage): boolean {
    const connection = connections.get(socket);
    if (!connection?.isFull) return false;
    connection.refuse(`${MAX_IN_FLIGHT} requests of this connection wait for their answers.`);
    return true;
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
  /** Requests that are not answered yet. */
  #inFlight = 0;
  /** What is answered last, when there is nothing else to answer; null before that is decided. */
  #refusal: string | null = null;
  readonly #answered = () => {
    this.#inFlight -= 1;
    this.#endIfRefused();
  };

  constructor(socket: Socket, options: RequestsOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#share = options.turns.share(this);
    socket.once('close', () => this.#drop());
  }

  get isFull(): boolean {
    return this.#inFlight >= MAX_IN_FLIGHT;
  }

  handle(response: ServerResponse, answer: () => void): void {
    this.#inFlight += 1;
    response.once('close', this.#answered);
    this.do(() => {
      answer();
      return false;
    });
  }

  do(step: Step): void {
    if (this.#share.hasEnded) return;
    this.#steps.push(step);
    this.#share.run();
  }

  /** Nothing more is read; the connection ends with this answer. */
  refuse(message: string): void {
    this.#options.refused(CODE);
    this.#refusal = message;
    // Node has let go of the socket as of one that is upgraded.
    this.#socket.on('error', () => {});
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
    this.#options.refused(CODE);
    resetSocket(this.#socket);
  }

  #endIfRefused(): void {
    if (this.#refusal === null || this.#inFlight > 0) return;
    const body = JSON.stringify({ code: CODE, message: this.#refusal });
    const { status } = REFUSAL[CODE];
    const head = [
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
      'Connection: close',
      'Content-Type: application/json; charset=UTF-8',
      `Content-Length: ${Buffer.byteLength(body)}`,
    ];
    this.#socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => this.#socket.destroy());
  }

  #drop(): void {
    this.#steps = [];
    this.#share.end();
  }
}
