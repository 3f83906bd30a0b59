/**
 * Schedules HTTP requests by connection (`turns.ts`): requests and bodies of one connection take no more
 * time of the event loop than a member's commands do.
 *
 * V3: a connection has at most `MAX_IN_FLIGHT` unanswered requests, and at most `MAX_BODY_BYTES` of
 * bodies that wait for their turn, when it begins another. That one is refused (`rate_limited`), and the
 * connection ends once the others are answered. What follows is not even parsed: a read of 64 KiB can
 * hold 1,800 requests, which would cost Node some 40 ms. So a connection holds at most 192 KiB of bodies:
 * of the last one Node buffers up to 64 KiB and one read of as much before it stops reading.
 *
 * V11: a request that Node's parser rejects or that arrives too slowly gets a coded answer like any
 * other, after the pending answers.
 *
 * Not here: answers (`http/`, `transport/sockjs.ts`), time limits of requests (`listeners.ts`).
 */
import { IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { REFUSAL, Refusal, type RefusalCode } from './errors.js';
import { setImmediate } from './time.js';
import { endWithRefusal } from './transport/answer.js';
import { breakOff } from './transport/bodies.js';
import { resetSocket } from './transport/reset-socket.js';
import { onlyWebSockets, upgradable } from './transport/target.js';
import type { Share, Turns, Work } from './turns.js';

/** Maximum unanswered requests of one connection: no client of ours pipelines. */
export const MAX_IN_FLIGHT = 32;
/** Maximum bytes of their bodies that nobody has read. */
const MAX_BODY_BYTES = 64 * 1024;

const TOO_MANY = new Refusal(
  'rate_limited',
  `${MAX_IN_FLIGHT} requests of this connection, or ${MAX_BODY_BYTES} bytes of their bodies, are waiting.`,
);

/** Error of `clientError`: `code` is from llhttp or Node; llhttp also gives a `reason` in words. */
type ParserError = NodeJS.ErrnoException & { readonly reason?: string };

/** Handles one item for a request; returns true if there are more. */
type Step = () => boolean;

/** Queues `step` behind the pending steps of the connection that `request` arrived on. */
export type InTurn = (request: IncomingMessage, step: Step) => void;

export interface RequestsOptions {
  readonly turns: Turns;
  /** Called for each connection refused with a code. */
  refused(code: RefusalCode): void;
}

/** Shared by all servers of the process, because Node's parser knows only the socket of a request. */
const connections = new WeakMap<Socket, Connection>();

/** Upgrades that some roomcast of the process has taken. */
const upgrades = new WeakSet<IncomingMessage>();

/** Whether a connection has reached a bound: pass its next request to `Requests.refuse`. */
export function isFull(socket: Socket): boolean {
  return connections.get(socket)?.isFull ?? false;
}

/** The request class for a server of our own, which serves nothing else. */
export const BoundedRequest = upgradable(IncomingMessage, { ...onlyWebSockets, isLast: isFull });

export class Requests {
  readonly #options: RequestsOptions;
  readonly inTurn: InTurn = (request, step) => this.#of(request.socket).do(step);

  constructor(options: RequestsOptions) {
    this.#options = options;
  }

  /** Calls `answer` when the scheduler reaches the request. */
  handle({ socket }: IncomingMessage, response: ServerResponse, answer: () => void): void {
    this.#of(socket).handle(response, answer);
  }

  /**
   * Calls `answer` when the scheduler reaches the upgrade; the connection is then no longer tracked
   * here. Ignores an upgrade that a roomcast has already taken.
   */
  upgrade(request: IncomingMessage, answer: () => void): void {
    if (upgrades.has(request)) return;
    upgrades.add(request);
    this.#of(request.socket).upgrade(answer);
  }

  /** Call it for every upgrade: returns true if it was a request over the limit, which is now refused. */
  refuse({ socket }: IncomingMessage): boolean {
    const connection = connections.get(socket);
    if (!connection?.isFull) return false;
    connection.refuse(TOO_MANY);
    return true;
  }

  /** Call it for each `clientError`: ends the connection, with an answer if the parser raised the error. */
  failed(error: ParserError, socket: Duplex): void {
    // Nobody can receive an answer: the peer has gone, or the TLS handshake failed.
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
  /** Pending steps. Each stays first until it has no more items. */
  #steps: Step[] = [];
  /** Responses not finished yet. Not a `Set`, for the reason in `line.ts`. */
  readonly #unanswered: ServerResponse[] = [];
  /** The latest one; null once it is finished and its request has arrived whole. */
  #last: ServerResponse | null = null;
  /** The last answer, sent when all others are done; null while the connection is not refused. */
  #refusal: Refusal | null = null;

  /** Its length says nothing about the cost of a request. */
  readonly waitingBytes = 0;
  readonly #closed = () => {
    this.#drop();
    if (this.#unanswered.length === 0) return;
    // Node before 26 emits 'close' only at the response that has the connection, at none that is queued
    // behind it: whoever waits for it would hold those for ever. Those that Node has told are gone by then.
    setImmediate(() => {
      for (const response of [...this.#unanswered]) response.emit('close');
    });
  };

  constructor(socket: Socket, options: RequestsOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#share = options.turns.share(this);
    socket.once('close', this.#closed);
  }

  get isFull(): boolean {
    if (this.#unanswered.length >= MAX_IN_FLIGHT) return true;
    let bytes = 0;
    for (const { req } of this.#unanswered) bytes += req.readableLength;
    return bytes > MAX_BODY_BYTES;
  }

  handle(response: ServerResponse, answer: () => void): void {
    this.#last = response;
    this.#unanswered.push(response);
    response.on('close', () => {
      const at = this.#unanswered.indexOf(response);
      if (at >= 0) this.#unanswered.splice(at, 1);
      if (response === this.#last && response.req.complete) this.#last = null;
      this.#endIfRefused();
    });
    this.do(() => {
      answer();
      return false;
    });
  }

  upgrade(answer: () => void): void {
    // Node has removed its own error listener, and the new owner has not added one yet.
    this.#socket.on('error', ignore);
    this.do(() => {
      this.#drop();
      connections.delete(this.#socket);
      if (this.#unanswered.length === 0) this.#socket.off('close', this.#closed);
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
    // The reader of the body sends the answer.
    if (isInBody && breakOff(request, refusal)) return;
    const isStreaming = this.#unanswered.some((each) => each.headersSent && !each.writableEnded);
    if (!isInBody && !isStreaming) {
      this.refuse(refusal);
      return;
    }
    // The request is already answered, or the client would read an answer as part of the current one.
    this.#options.refused(refusal.code);
    this.#socket.destroy();
  }

  /** Reads no more from the connection and ends it with this answer. */
  refuse(refusal: Refusal): void {
    this.#options.refused(refusal.code);
    this.#refusal = refusal;
    // Node has removed its error listener, as for an upgrade.
    this.#socket.on('error', ignore);
    this.#endIfRefused();
  }

  step(): boolean {
    const step = this.#steps[0];
    if (step !== undefined && !step()) this.#steps.shift();
    return this.#steps.length > 0;
  }

  held(): void {
    // The input is bounded: nothing to pause.
  }

  released(): void {
    // Nothing was paused.
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
    if (this.#refusal === null || this.#unanswered.length > 0) return;
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
  return new Refusal('bad_command', `The data sent is not HTTP: ${reason ?? code}.`);
}
