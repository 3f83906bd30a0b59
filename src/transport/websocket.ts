/**
 * Rooms over WebSocket: the upgrade, and one transport a connection. Also carries SockJS' own
 * websocket transport, which is the same connection in another dialect.
 *
 * V3: batches are written straight to the socket, which tells to the byte what the kernel has not
 * taken; `ws` reads, answers pings (at most 60 unsent) and closes. Compression is off: it would
 * reorder raw writes and hold memory nobody counts.
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocket, WebSocketServer } from 'ws';
import { CLOSE, type CloseReason, type EndReason, type RefusalCode } from '../errors.js';
import { clearInterval, clearTimeout, nowMs, setInterval, setTimeout } from '../time.js';
import type { Turns } from '../turns.js';
import { checkWs, Intake, type IntakeMemory, MAX_FRAGMENTS } from './intake.js';
import { type Handle, handleOf, rawWrite } from './raw-write.js';
import { resetSocket } from './reset-socket.js';
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

/** How one protocol uses the frames of a WebSocket. */
export interface Dialect {
  readonly framing: Framing;
  /** Text of the frame sent first, before anything of ours. */
  readonly opening: string | null;
  /** The texts in one frame, or null when it is not of this dialect. */
  unwrap(frame: string): readonly string[] | null;
  /** Text of the frame sent last, before the close frame. */
  closing(code: number, text: string): string | null;
}

/** One command or event a frame. */
export const plainDialect: Dialect = {
  framing: plainFraming,
  opening: null,
  unwrap: (frame) => [frame],
  closing: () => null,
};

/** How long a peer that has sent its close frame has to end the connection, in milliseconds. */
const LEAVE_GRACE_MS = 1000;

/** What each error of `ws` is to us; any other is a bad frame. */
const FAULTS: ReadonlyMap<string | undefined, Fault> = new Map([
  ['WS_ERR_INVALID_UTF8', 'bad_utf8'],
  ['WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH', 'frame_too_big'],
  ['WS_ERR_UNSUPPORTED_MESSAGE_LENGTH', 'message_too_big'],
  ['WS_ERR_TOO_MANY_BUFFERED_PARTS', 'message_too_big'],
]);

/** A `ws` connection that leaves it to its transport how a faulty peer is closed. */
class ServerWebSocket extends WebSocket {
  onLeave = () => {};
  onFlood = () => {};

  /**
   * Called by `ws` alone: with a code and no reason for a fault, of which an `error` event tells
   * next, otherwise to answer the close frame of the peer with what is in it.
   */
  override close(code?: number, reason?: string | Buffer): void {
    const isFault = code !== undefined && reason === undefined;
    if (isFault && this.readyState === WebSocket.OPEN) return;
    if (!isFault) this.onLeave();
    super.close(code, reason);
  }

  /** Sends a close frame of ours. */
  closeFor(code: number, text: string): void {
    super.close(code, text);
  }

  /** What `ws` does to a peer that pings and does not read the pongs. */
  override terminate(): void {
    this.onFlood();
  }
}

export class WebSocketTransport implements Transport {
  // First what a delivery looks at, so that it lies together.
  writable = true;
  readonly framing: Framing;
  readonly #socket: Socket;
  #handle: Handle | null = null;
  readonly #onFlushed = () => {
    // Also called, and without an error, when the socket has gone with the batch on it.
    if (this.#end !== null || this.#socket.destroyed) return;
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
  #resetTimer: NodeJS.Timeout | undefined;
  /** When the ping that has not come back was sent, 0 without one. */
  #pingedAt = 0;
  /** When the peer was last heard, or pinged. */
  #heartbeatAt = nowMs();

  constructor(
    ws: ServerWebSocket,
    socket: Socket,
    dialect: Dialect,
    remoteAddress: string,
    accept: Accept,
    input: Input,
  ) {
    this.remoteAddress = remoteAddress;
    this.#ws = ws;
    this.#socket = socket;
    this.#dialect = dialect;
    this.framing = dialect.framing;
    this.name = TRANSPORTS[dialect.framing.index] as TransportName;
    if (dialect.opening !== null) socket.write(textFrame(dialect.opening));
    this.#sink = accept(this);
    this.#intake = new Intake(ws, {
      ...input,
      received: (text) => this.#sink.received(text, Buffer.byteLength(text)),
      fault: (reason) => this.#sink.faulted(reason),
    });
    ws.onLeave = () => this.#left();
    ws.onFlood = () => this.#sink.faulted('control_overflow');
    ws.on('message', (data: Buffer, isBinary: boolean) => this.#received(data, isBinary));
    ws.on('pong', () => this.#ponged());
    ws.on('close', () => this.#closed());
    ws.on('error', ({ code }: { code?: string }) => {
      this.#sink.faulted(FAULTS.get(code) ?? 'bad_frame');
    });
  }

  prefetch(): boolean {
    return this.writable && this.#handle?.reading === true;
  }

  write(batch: Buffer): boolean {
    this.#handle ??= handleOf(this.#socket);
    this.writable = rawWrite(this.#socket, this.#handle, batch, this.#onFlushed);
    return this.writable;
  }

  close(reason: CloseReason, farewell: Buffer, graceMs: number): void {
    if (this.#end !== null) return;
    this.#end = reason;
    this.writable = false;
    const { code, text } = CLOSE[reason];
    this.#socket.write(farewell);
    const closing = this.#dialect.closing(code, text);
    if (closing !== null) this.#socket.write(textFrame(closing));
    this.#ws.closeFor(code, text);
    this.#resetTimer = setTimeout(() => resetSocket(this.#socket), graceMs);
  }

  reset(reason: EndReason): void {
    this.#end ??= reason;
    this.writable = false;
    resetSocket(this.#socket);
  }

  /**
   * Pings a peer that has been silent for `intervalMs`; one that has not answered the last ping
   * within that time is gone. A peer that has a batch outstanding is judged by that instead, and one
   * that is held, so that its answer is not read, not at all.
   */
  heartbeat(now: number, intervalMs: number): void {
    if (this.#end !== null || !this.writable || this.#intake.isHeld) return;
    if (now - this.#heartbeatAt < intervalMs) return;
    if (this.#pingedAt > 0) {
      this.#sink.faulted('heartbeat_missed');
      return;
    }
    this.#pingedAt = now;
    this.#heartbeatAt = now;
    this.#ws.ping();
  }

  #received(data: Buffer, isBinary: boolean): void {
    this.#intake.whole();
    if (this.#end !== null) return;
    this.#heard();
    if (isBinary) {
      this.#sink.receivedBinary();
      return;
    }
    const texts = this.#dialect.unwrap(data.toString());
    if (texts === null) {
      this.#sink.faulted('protocol_error');
      return;
    }
    // What a peer sends to us counts as received, with the wrapping of its dialect.
    if (!this.#intake.later(texts)) this.#sink.received(texts[0] as string, data.length);
  }

  #ponged(): void {
    if (this.#pingedAt === 0) return;
    const seconds = (nowMs() - this.#pingedAt) / 1000;
    this.#pingedAt = 0;
    if (this.#end === null) this.#sink.roundTrip(seconds);
  }

  #heard(): void {
    this.#heartbeatAt = nowMs();
    // Whoever speaks is alive, but the time its pong takes then says nothing of the network.
    this.#pingedAt = 0;
  }

  /** The peer has sent a close frame, which `ws` answers: no data may follow the answer. */
  #left(): void {
    this.#intake.flush();
    if (this.#end !== null) return;
    this.#end = 'client';
    this.writable = false;
    this.#sink.left();
    this.#resetTimer = setTimeout(() => resetSocket(this.#socket), LEAVE_GRACE_MS);
  }

  #closed(): void {
    clearTimeout(this.#resetTimer);
    this.#intake.end();
    this.writable = false;
    this.#end ??= 'lost';
    this.#sink.ended(this.#end);
  }
}

/** What the connections of a server share in what they receive. */
export interface Input {
  readonly turns: Turns;
  readonly memory: IntakeMemory;
  /** Of a frame of the peer's, with what the dialect wraps around a text. */
  readonly maxFrameBytes: number;
}

/** Accepts upgrades that were already found to be for us. */
export class WebSocketAcceptor {
  readonly #dialect: Dialect;
  readonly #server: WebSocketServer;
  readonly #transports = new Set<WebSocketTransport>();
  readonly #input: Input;
  readonly #refused: (code: RefusalCode) => void;
  readonly #heartbeat: NodeJS.Timeout | undefined;

  /**
   * `heartbeatMs`: 0 switches heartbeats off. `refused` is told of each upgrade that is none.
   *
   * @throws Error if the installed `ws` is not a release this is made for.
   */
  constructor(
    dialect: Dialect,
    options: Input & {
      heartbeatMs: number;
      refused: (code: RefusalCode) => void;
    },
  ) {
    const { turns, memory, maxFrameBytes, heartbeatMs, refused } = options;
    checkWs();
    this.#input = { turns, memory, maxFrameBytes };
    this.#dialect = dialect;
    this.#refused = refused;
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: maxFrameBytes,
      maxFragments: MAX_FRAGMENTS,
      WebSocket: ServerWebSocket,
    });
    if (heartbeatMs > 0) {
      this.#heartbeat = setInterval(
        () => this.#beat(heartbeatMs),
        Math.max(10, heartbeatMs / 10),
      ).unref();
    }
  }

  upgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    remoteAddress: string,
    accept: Accept,
  ): void {
    let isUpgrade = false;
    this.#server.handleUpgrade(request, socket, head, (ws) => {
      isUpgrade = true;
      const transport = new WebSocketTransport(
        ws as ServerWebSocket,
        socket as Socket,
        this.#dialect,
        remoteAddress,
        accept,
        this.#input,
      );
      this.#transports.add(transport);
      ws.once('close', () => this.#transports.delete(transport));
    });
    // It was answered with what is wrong in it.
    if (!isUpgrade) this.#refused('bad_command');
  }

  /** Stops the heartbeat; connections are their sessions' to close. */
  close(): void {
    clearInterval(this.#heartbeat);
    this.#server.close();
  }

  #beat(heartbeatMs: number): void {
    const now = nowMs();
    for (const transport of this.#transports) transport.heartbeat(now, heartbeatMs);
  }
}
