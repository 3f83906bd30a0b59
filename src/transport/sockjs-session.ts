/**
 * One SockJS session over HTTP (xhr-streaming, eventsource, xhr-polling) as a transport. V3: a
 * batch is asked for when a response is open and the one before has been flushed, so the server
 * holds one batch. V8: a session that ends takes its timers and its responses with it; one that
 * the peer has not read is reset, since HTTP would keep it and its bytes for ever.
 *
 * A response is ended only after its last batch has been flushed: the wait for the peer's next
 * request must not run while the peer is still reading this one.
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
 * Heartbeats after which a stream is ended although it is not full: that the peer opens the next
 * one is the only sign of life it can give.
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
  /** How long a session may be without a response, in milliseconds. */
  readonly disconnectDelayMs: number;
}

export class SockjsSession implements Transport {
  readonly framing: Framing;
  readonly #library: LibrarySession;
  readonly #watch: Watch;
  readonly #disconnectDelayMs: number;
  readonly #lingers: (session: SockjsSession) => void;
  /** Of the socket that was last written to. */
  #progress: Progress | null = null;
  /** When the last response opened, by the clock of the loop. */
  #openedAt: number;
  /** When the last response was over, and whether the peer has hung up. */
  #overAt: number;
  #hasHungUp = false;
  #messages = 0;
  #confirmed = 0;
  #sink: TransportSink | null = null;
  /** Responses the kernel has not got whole, each with its socket. */
  readonly #responses = new Map<ServerResponse, Socket>();
  #outstanding = false;
  /** Why the session is ending; set once, by whoever is first. */
  #reason: EndReason | null = null;
  /** Waits for a response to open, while the session is closing. */
  #farewell: Buffer | null = null;
  #endGrace = () => {};
  /** Ends the wait for the next request, where the server stood still in it. */
  #endWait = () => {};
  /** A response with the close frame has been ended. */
  #isTold = false;
  /** The library has let go of the session. */
  #isGone = false;
  #hasEnded = false;

  constructor(
    readonly name: SockjsTransportName,
    readonly remoteAddress: string,
    library: LibrarySession,
    { watch, disconnectDelayMs }: SockjsTimes,
    /** Called when it has ended, and is only kept to tell so to whoever comes late. */
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

  /** Everything from now on is told to `sink`. */
  start(sink: TransportSink): void {
    this.#sink = sink;
  }

  /** `res` answers a request of this session; the library is about to get it, or has it. */
  track(req: IncomingMessage, res: ServerResponse): void {
    this.#responses.set(res, req.socket);
    res.once('close', () => {
      this.#responses.delete(res);
      this.#settle();
    });
  }

  /** A message of the peer's. */
  receive(message: string): void {
    if (this.#reason === null) this.#sink?.received(message, Buffer.byteLength(message));
  }

  /** The peer has sent what it may not. */
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
      // Without an error when the socket has been destroyed with the batch on it.
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

  /** A response has opened. The return value is that of `LibrarySession.flushToRecv`. */
  #opened(receiver: Receiver): boolean {
    this.#endWait();
    this.#openedAt = this.#watch.clock.now();
    // Whoever asks again has had the answer before.
    this.#confirmed = this.#messages;
    if (this.#reason !== null) {
      // The library puts the close frame behind it and ends the response.
      this.#sendFarewell(receiver, this.#farewell ?? NOTHING);
      return true;
    }
    this.#pace(receiver);
    // Not at once: the library is in the middle of opening it.
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
   * Heartbeats of a response: none behind bytes that are not being read, and no more than a few.
   * And when it was over.
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

  /** The library waits for a request no longer; but the server may have stood still meanwhile. */
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

  /** The library has let go: the peer hung up, or did not come back. */
  #gone(): void {
    this.#isGone = true;
    if (this.#reason === null) {
      // A peer leaves by ending its side while a request is open; a lost one has nothing open any more.
      const isOpen = [...this.#responses.keys()].some((res) => !res.writableEnded);
      this.#reason = isOpen ? 'client' : 'lost';
      this.#end(this.#reason);
    } else {
      this.#settle();
    }
  }

  /** Closing is done when the close frame is with the kernel, or nobody came for it. */
  #settle(): void {
    if (this.#reason === null || this.#responses.size > 0) return;
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
    for (const socket of this.#responses.values()) resetSocket(socket);
  }
}
