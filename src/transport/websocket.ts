/**
 * A WebSocket connection. Also serves SockJS's own websocket transport, the same connection in another
 * dialect.
 *
 * V3: batches are written straight to the socket, whose queue tells to the byte what the kernel has not
 * taken. `ws` reads every frame but unfragmented texts and pongs, answers pings (at most 60 unsent
 * pongs) and closes. Compression is off: it would reorder raw writes and hold memory that is not
 * counted.
 *
 * Not here: the upgrade (`websocket-acceptor.ts`), the heartbeat schedule (`beat.ts`), unhandled input
 * (`intake.ts`).
 */
import type { Socket } from 'node:net';
import { CLOSE, type CloseReason, type EndReason } from '../errors.js';
import { graceOf } from './grace.js';
import { Heartbeat } from './heartbeat.js';
import { Intake, type IntakeInput, type IntakeOwner } from './intake.js';
import type { Watch } from './progress.js';
import { readPast } from './raw-read.js';
import { type Handle, handleOf, rawWrite } from './raw-write.js';
import { resetSocket } from './reset-socket.js';
import type { Owner, ServerWebSocket } from './server-websocket.js';
import {
  type Accept,
  type Fault,
  type Framing,
  TRANSPORTS,
  type Transport,
  type TransportName,
  type TransportSink,
} from './transport.js';
import { plainFraming, textFrame } from './websocket-frame.js';

/** How a protocol uses WebSocket frames. */
export interface Dialect {
  readonly framing: Framing;
  /** Text of the first frame sent, or null. */
  readonly opening: string | null;
  /** The texts in one frame, or null if it does not follow the dialect. */
  unwrap(frame: string): readonly string[] | null;
  /** Text of the last frame sent, before the close frame; or null. */
  closing(code: number, text: string): string | null;
}

/** One command or event per frame. */
export const plainDialect: Dialect = {
  framing: plainFraming,
  opening: null,
  unwrap: (frame) => [frame],
  closing: () => null,
};

/** How long a peer that has sent its close frame has to end the connection, in milliseconds. */
const LEAVE_GRACE_MS = 1000;

/** Bytes written between two pings to a peer that has not answered the last one. */
const MARK_BYTES = 256 * 1024;

const nothing = () => {};

export class WebSocketTransport implements Transport, Owner, IntakeOwner {
  // Fields that a delivery reads come first, to lie together in memory.
  writable = true;
  readonly framing: Framing;
  readonly #socket: Socket;
  #handle: Handle | null = null;
  /** Totals written. */
  #bytes = 0;
  #messages = 0;
  /** Value of `#bytes` at which a ping is due, to show how far the peer has read. */
  #markAt = MARK_BYTES;
  readonly #onFlushed = (error?: Error | null) => {
    // May be called without an error although the socket was destroyed with the batch queued.
    if (error || this.#end !== null || this.#socket.destroyed) return;
    this.writable = true;
    this.#sink.completed();
  };
  readonly name: TransportName;
  readonly remoteAddress: string;
  readonly #ws: ServerWebSocket;
  readonly #dialect: Dialect;
  readonly #sink: TransportSink;
  readonly #intake: Intake;
  #end: EndReason | null = null;
  #endGrace = nothing;
  readonly #gone: (transport: WebSocketTransport) => void;
  readonly #watch: Watch;
  readonly #heartbeat: Heartbeat;
  /** Code of our close frame, 0 before one is sent; and whether the peer answered with the same code. */
  #closeCode = 0;
  #hasAnswered = false;

  constructor(
    ws: ServerWebSocket,
    socket: Socket,
    dialect: Dialect,
    remoteAddress: string,
    watch: Watch,
    accept: Accept,
    input: Input,
  ) {
    this.#watch = watch;
    this.#heartbeat = new Heartbeat(watch, socket);
    this.remoteAddress = remoteAddress;
    this.#ws = ws;
    this.#socket = socket;
    this.#dialect = dialect;
    this.framing = dialect.framing;
    this.name = TRANSPORTS[dialect.framing.index] as TransportName;
    if (dialect.opening !== null) socket.write(textFrame(dialect.opening));
    this.#sink = accept(this);
    this.#intake = new Intake(ws, input, this);
    readPast(socket, this.#intake);
    ws.tell(this);
    this.#gone = input.gone;
  }

  prefetch(): boolean {
    return this.writable && this.#handle?.reading === true;
  }

  get progressAt(): number {
    const { progress } = this.#heartbeat;
    progress.look();
    const silentMs = this.#watch.clock.now() - progress.takenAt;
    if (silentMs > this.#sink.stallAfterMs / 4) progress.suspect();
    return progress.takenAt;
  }

  get unconfirmedMessages(): number {
    return this.#hasAnswered ? 0 : this.#messages - this.#heartbeat.confirmed.messages;
  }

  write(batch: Buffer, messages: number): boolean {
    this.#handle ??= handleOf(this.#socket);
    this.writable = rawWrite(this.#socket, this.#handle, batch, this.#onFlushed);
    this.#messages += messages;
    this.#bytes += batch.length;
    if (this.#bytes >= this.#markAt) this.#mark();
    return this.writable;
  }

  close(reason: CloseReason, farewell: Buffer, graceMs: number, limitMs = graceMs): void {
    if (this.#end !== null) return;
    this.#end = reason;
    this.writable = false;
    const { code, text } = CLOSE[reason];
    this.#socket.write(farewell);
    const closing = this.#dialect.closing(code, text);
    if (closing !== null) this.#socket.write(textFrame(closing));
    this.#ws.closeFor(code, text);
    this.#closeCode = code;
    this.#endGrace = graceOf(this.#watch.clock, {
      graceMs,
      limitMs,
      progressAt: () => this.progressAt,
      over: () => resetSocket(this.#socket),
    });
  }

  holdInput(isHeld: boolean): void {
    this.#intake.stop(isHeld);
  }

  reset(reason: EndReason): void {
    this.#end ??= reason;
    this.writable = false;
    resetSocket(this.#socket);
  }

  /** Pings or judges the peer, unless a batch is outstanding: the stall timeout covers that. */
  heartbeat(intervalMs: number, now: number): void {
    if (this.#end !== null || !this.writable) return;
    // Input that the server holds back may contain the answer.
    if (this.#intake.isHeld) this.#heartbeat.heard();
    const { stallAfterMs } = this.#sink;
    const due = this.#heartbeat.judge(now, this.#bytes, { intervalMs, stallAfterMs });
    if (due === 'ping') this.#ping();
    if (due === 'gone') this.#sink.faulted('heartbeat_missed');
  }

  #mark(): void {
    this.#markAt = this.#bytes + MARK_BYTES;
    if (this.#heartbeat.wantsMark) this.#ping();
  }

  #ping(): void {
    this.#markAt = this.#bytes + MARK_BYTES;
    this.#socket.write(this.#heartbeat.ping({ bytes: this.#bytes, messages: this.#messages }));
  }

  message(data: Buffer, isBinary: boolean): void {
    this.#intake.whole();
    if (!isBinary) {
      this.text(data.toString(), data.length);
      return;
    }
    if (this.#end !== null) return;
    this.#heartbeat.heard();
    this.#sink.receivedBinary();
  }

  text(frame: string, bytes: number): void {
    if (this.#end !== null) return;
    this.#heartbeat.heard();
    const texts = this.#dialect.unwrap(frame);
    if (texts === null) {
      this.#sink.faulted('protocol_error');
      return;
    }
    if (this.#intake.later(texts)) return;
    const [text] = texts as [string];
    // A text unwrapped from its dialect may be shorter than the frame.
    this.#sink.received(text, text === frame ? bytes : Buffer.byteLength(text));
  }

  received(text: string): void {
    this.#sink.received(text, Buffer.byteLength(text));
  }

  fault(reason: Fault): void {
    this.#sink.faulted(reason);
  }

  pong(payload: string): void {
    const seconds = this.#heartbeat.ponged(payload, this.#bytes);
    if (this.#end === null && seconds !== null) this.#sink.roundTrip(seconds);
  }

  /** `ws` answers the peer's close frame: no data may follow. */
  left(): void {
    this.#intake.flush();
    if (this.#end !== null) return;
    this.#end = 'client';
    this.writable = false;
    this.#sink.left();
    const { clock } = this.#watch;
    this.#endGrace = clock.after(LEAVE_GRACE_MS, () => resetSocket(this.#socket));
  }

  closed(code: number): void {
    this.#gone(this);
    this.#endGrace();
    this.#intake.end();
    this.writable = false;
    // The peer answers our close frame only after it has read everything before it.
    this.#hasAnswered = this.#closeCode !== 0 && code === this.#closeCode;
    this.#end ??= 'lost';
    this.#sink.ended(this.#end);
  }
}

/** Shared by the connections of an acceptor. */
export interface Input extends IntakeInput {
  /** Called once, when a connection has closed. */
  readonly gone: (transport: WebSocketTransport) => void;
}
