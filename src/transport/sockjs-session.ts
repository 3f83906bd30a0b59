/**
 * One SockJS session over HTTP (xhr-streaming, eventsource, xhr-polling) as a transport. V3: `write` is
 * only allowed while a response is open and the previous batch has been flushed, so the server holds one
 * batch. V8: the end of a session releases its timers and responses. A session the peer has not read is
 * reset, since HTTP would keep it and its bytes for ever.
 *
 * A response is ended only after its last batch was flushed: the wait for the peer's next request must
 * not run while the peer still reads this one.
 *
 * Not here: paths, origins, bodies (`sockjs.ts`), the library's private parts (`sockjs-library.ts`).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { CLOSE, type CloseReason, type EndReason } from '../errors.js';
import { queueMicrotask } from '../time.js';
import { graceOf } from './grace.js';
import { Progress, type Watch } from './progress.js';
import { resetSocket } from './reset-socket.js';
import { sockjsFraming } from './sockjs-framing.js';
import type { LibrarySession, Receiver } from './sockjs-library.js';
import type { Fault, Framing, Transport, TransportSink } from './transport.js';

export type SockjsTransportName = 'xhr-streaming' | 'eventsource' | 'xhr-polling';

/**
 * A stream ends after this many heartbeats although it is not full: opening the next one is the only
 * sign of life the peer can give.
 */
const STREAM_HEARTBEATS = 2;

const NOTHING = Buffer.alloc(0);
const NEWLINE = Buffer.from('\n');
const DATA = Buffer.from('data: ');
const BLANK_LINE = Buffer.from('\r\n\r\n');

const line = (parts: readonly Buffer[], bytes: number) =>
  Buffer.concat([...parts, NEWLINE], bytes + NEWLINE.length);
const event = (parts: readonly Buffer[], bytes: number) =>
  Buffer.concat([DATA, ...parts, BLANK_LINE], DATA.length + bytes + BLANK_LINE.length);

const FRAMINGS: Readonly<Record<SockjsTransportName, Framing>> = {
  'xhr-streaming': sockjsFraming('xhr-streaming', line),
  eventsource: sockjsFraming('eventsource', event),
  'xhr-polling': sockjsFraming('xhr-polling', line),
};

export interface SockjsTimes {
  readonly watch: Watch;
  /** How long a session may be without an open response, in milliseconds. */
  readonly disconnectDelayMs: number;
}

export class SockjsSession implements Transport {
  readonly framing: Framing;
  readonly #library: LibrarySession;
  readonly #watch: Watch;
  readonly #disconnectDelayMs: number;
  readonly #lingers: (session: SockjsSession) => void;
  /** Progress on the socket last written to. */
  #progress: Progress | null = null;
  /** When the last response opened, in loop clock milliseconds. */
  #openedAt: number;
  /** When the last response ended, and whether the peer disconnected. */
  #overAt: number;
  #hasHungUp = false;
  #messages = 0;
  #confirmed = 0;
  #sink: TransportSink | null = null;
  /** The request whose body is being read, if any. */
  sending: IncomingMessage | null = null;
  /** Responses the kernel has not taken whole, each with its socket. Few, so a list is enough. */
  #responses: { readonly res: ServerResponse; readonly socket: Socket }[] = [];
  #outstanding = false;
  /** Reason the session ends; set once, first reason wins. */
  #reason: EndReason | null = null;
  /** The closing batch, until a response opens. */
  #farewell: Buffer | null = null;
  #endGrace = () => {};
  /** Cancels the extended wait for the next request (see `#timedOut`). */
  #endWait = () => {};
  /** The close frame was written to a response. */
  #isTold = false;
  /** The library has dropped the session. */
  #isGone = false;
  #hasEnded = false;

  constructor(
    readonly name: SockjsTransportName,
    readonly remoteAddress: string,
    library: LibrarySession,
    { watch, disconnectDelayMs }: SockjsTimes,
    /** Called when the session has ended and is only kept to answer late requests. */
    lingers: (session: SockjsSession) => void,
  ) {
    this.framing = FRAMINGS[name];
    this.#library = library;
    this.#lingers = lingers;
    this.#watch = watch;
    this.#disconnectDelayMs = disconnectDelayMs;
    this.#openedAt = this.#overAt = watch.clock.now();
    library.timeout_cb = () => this.#timedOut();
    library.flushToRecv = (receiver) => this.#opened(receiver);
    library.connection.once('close', () => this.#gone());
    if (library.recv) this.#pace(library.recv);
  }

  /** Sets the sink for all later events. */
  start(sink: TransportSink): void {
    this.#sink = sink;
  }

  /** `res` belongs to a request of this session, which the library has or is about to get. */
  track(req: IncomingMessage, res: ServerResponse): void {
    this.#responses.push({ res, socket: req.socket });
    res.once('close', () => {
      this.#responses = this.#responses.filter((each) => each.res !== res);
      this.#settle();
    });
  }

  /** A message from the peer. */
  receive(message: string): void {
    if (this.#reason === null) this.#sink?.received(message, Buffer.byteLength(message));
  }

  /** The peer has violated the protocol or a limit. */
  fault(reason: Fault): void {
    if (this.#reason === null) this.#sink?.faulted(reason);
  }

  get writable(): boolean {
    return this.#reason === null && !this.#outstanding && Boolean(this.#library.recv);
  }

  get progressAt(): number {
    const progress = this.#progress;
    if (progress === null) return this.#openedAt;
    progress.look();
    const silentMs = this.#watch.clock.now() - progress.takenAt;
    if (silentMs > (this.#sink?.stallAfterMs ?? 0) / 4) progress.suspect();
    return Math.max(this.#openedAt, progress.takenAt);
  }

  get unconfirmedMessages(): number {
    return this.#messages - this.#confirmed;
  }

  write(batch: Buffer, messages: number): boolean {
    const receiver = this.#library.recv as Receiver;
    this.#outstanding = true;
    this.#messages += messages;
    receiver.curr_response_size += batch.length;
    const { response } = receiver;
    const { socket } = response;
    if (socket !== null && this.#progress?.socket !== socket) {
      this.#progress = new Progress(this.#watch, socket);
    }
    response.write(batch, (error?: Error | null) => {
      // May be called without an error although the socket was destroyed with the batch queued.
      if (!error && response.socket?.destroyed === false) this.#flushed(receiver);
    });
    return false;
  }

  close(reason: CloseReason, farewell: Buffer, graceMs: number, limitMs = graceMs): void {
    if (this.#reason !== null) return;
    this.#reason = reason;
    this.#endGrace = graceOf(this.#watch.clock, {
      graceMs,
      limitMs,
      progressAt: () => this.progressAt,
      over: () => this.reset(reason),
    });
    const receiver = this.#library.recv;
    if (receiver) this.#sendFarewell(receiver, farewell);
    else this.#farewell = farewell;
    const { code, text } = CLOSE[reason];
    this.#library.close(code, text);
  }

  reset(reason: EndReason): void {
    this.#reason ??= reason;
    this.#resetResponses();
    const receiver = this.#library.recv;
    if (receiver) receiver.didAbort();
    else if (!this.#isGone) this.#library.didTimeout();
    this.#end(this.#reason);
  }

  /** A response has opened. Returns the value for `LibrarySession.flushToRecv`. */
  #opened(receiver: Receiver): boolean {
    this.#endWait();
    this.#openedAt = this.#watch.clock.now();
    // A peer that sends the next request has read the previous response.
    this.#confirmed = this.#messages;
    if (this.#reason !== null) {
      // The library appends the close frame and ends the response.
      this.#sendFarewell(receiver, this.#farewell ?? NOTHING);
      return true;
    }
    this.#pace(receiver);
    // Deferred, since the library is still opening it.
    queueMicrotask(() => {
      if (this.writable) this.#sink?.ready();
    });
    return false;
  }

  #sendFarewell(receiver: Receiver, farewell: Buffer): void {
    receiver.response.write(farewell);
    this.#farewell = null;
    this.#isTold = true;
  }

  /**
   * Wraps a response's heartbeats: none while bytes are not being read, and the response ends after
   * `STREAM_HEARTBEATS`. Also records when the response ends.
   */
  #pace(receiver: Receiver): void {
    const didClose = receiver.didClose.bind(receiver);
    receiver.didClose = () => {
      this.#overAt = this.#watch.clock.now();
      this.#hasHungUp = !receiver.delay_disconnect;
      didClose();
    };
    const heartbeat = receiver.heartbeat.bind(receiver);
    let beats = 0;
    receiver.heartbeat = () => {
      beats += 1;
      if (this.#outstanding) return;
      if (beats >= STREAM_HEARTBEATS) receiver.didClose();
      else if (receiver.response.writableLength === 0) heartbeat();
    };
  }

  /** The library's wait for a request timed out. Extends it by the time the server was stalled. */
  #timedOut(): void {
    const { clock } = this.#watch;
    const left = this.#overAt + this.#disconnectDelayMs - clock.now();
    if (this.#hasHungUp || (left <= 0 && clock.mayJudge)) this.#library.didTimeout();
    else this.#endWait = clock.after(Math.max(0, left), () => this.#library.didTimeout());
  }

  #flushed(receiver: Receiver): void {
    if (!this.#outstanding) return;
    this.#outstanding = false;
    const isFull = receiver.curr_response_size >= receiver.max_response_size;
    if (isFull && this.#library.recv === receiver) receiver.didClose();
    this.#sink?.completed();
  }

  /** The library dropped the session: the peer disconnected or did not come back. */
  #gone(): void {
    this.#isGone = true;
    if (this.#reason === null) {
      // A peer leaves by disconnecting while a response is open; a lost peer has none open.
      const isOpen = this.#responses.some(({ res }) => !res.writableEnded);
      this.#reason = isOpen ? 'client' : 'lost';
      this.#end(this.#reason);
    } else {
      this.#settle();
    }
  }

  /**
   * The session has ended once the kernel has the close frame, or the wait for the next request is over.
   */
  #settle(): void {
    if (this.#reason === null || this.#responses.length > 0) return;
    if (this.#isTold || this.#isGone) this.#end(this.#reason);
  }

  #end(reason: EndReason): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#endGrace();
    this.#endWait();
    this.#outstanding = false;
    this.#farewell = null;
    this.#resetResponses();
    if (!this.#isGone) this.#lingers(this);
    queueMicrotask(() => this.#sink?.ended(reason));
  }

  #resetResponses(): void {
    for (const { socket } of this.#responses) resetSocket(socket);
  }
}
