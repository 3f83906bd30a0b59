/**
 * The contract of a transport: one session of one peer, able to take one batch at a time and to
 * say when the kernel has it. That signal is the whole of backpressure here (V3): what a transport
 * has not completed is never more than one batch, whatever the peer does.
 *
 * Not here: queues and policies (`room/`), what the text means (`session/session.ts`).
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { CloseReason, EndReason } from '../errors.js';

/** In the order of `Framing.index`; also the label set `transport` of the metrics. */
export const TRANSPORTS = [
  'websocket',
  'sockjs-websocket',
  'xhr-streaming',
  'eventsource',
  'xhr-polling',
] as const;

export type TransportName = (typeof TRANSPORTS)[number];

/**
 * How text becomes bytes on one transport. A message is framed once for each `encoding`, whatever
 * the number of members (V6); `join` then makes one write of several frames, shared by all members
 * of the same transport.
 */
export interface Framing {
  /** Position in `TRANSPORTS`. */
  readonly index: number;
  readonly encoding: Encoding;
  /** Bytes of one batch. `bytes` is the sum of the frames' lengths; `frames` has at least one. */
  join(frames: readonly Buffer[], bytes: number): Buffer;
}

/** One way of writing a text so that frames can be joined; transports may share it. */
export interface Encoding {
  /** Dense from 0: frames are cached in arrays. */
  readonly index: number;
  encode(text: string): Buffer;
}

export interface Transport {
  readonly name: TransportName;
  readonly framing: Framing;
  /** The peer's address, as `--trust-proxy` has it. */
  readonly remoteAddress: string;
  /**
   * Whether `write` may be called now: open, nothing outstanding, and, where the peer has to ask
   * first (SockJS over HTTP), it has asked.
   */
  readonly writable: boolean;
  /**
   * Reads what `write` will read first, so that by then it is in the processor's caches. For
   * transports that gain by it. What comes back means nothing but that no compiler may leave the
   * reads out.
   */
  prefetch?(): boolean;
  /**
   * When the peer was last seen to take bytes, by the clock of the loop (V13). Asking is looking:
   * to be asked now and then while something waits for the peer.
   */
  readonly progressAt: number;
  /**
   * Messages of the batches written that the peer has not confirmed to have read, also when the
   * session is over; with those of a batch that is outstanding.
   */
  readonly unconfirmedMessages: number;
  /**
   * Hands one batch, with so many messages in it, to the socket. True: the kernel has all of it,
   * the batch is complete. False: it is outstanding, and `TransportSink.completed` follows once,
   * unless the session ends first. Only called while `writable`. Never throws.
   */
  write(batch: Buffer, messages: number): boolean;
  /**
   * Ends the session in an orderly way: `farewell` (a framed, joined batch) and the close frame go
   * out behind what is outstanding, and the peer's own close is awaited. A peer that takes nothing
   * of it for `graceMs` is reset, and one that takes it slowly is after `limitMs`, by default the
   * same. `TransportSink.ended` follows once. Repeated calls do nothing.
   */
  close(reason: CloseReason, farewell: Buffer, graceMs: number, limitMs?: number): void;
  /**
   * Whether what the peer sends is to wait, since what came before it does. For transports that can
   * stop reading; others go on, and the session's own bound ends the peer.
   */
  holdInput?(isHeld: boolean): void;
  /** Ends the session at once and frees what the kernel holds for it. `ended` follows once. */
  reset(reason: EndReason): void;
}

/** What a transport can find wrong with its peer. */
export type Fault = Extract<
  CloseReason,
  | 'bad_frame'
  | 'bad_utf8'
  | 'frame_too_big'
  | 'message_too_big'
  | 'protocol_error'
  | 'heartbeat_missed'
  | 'control_overflow'
  | 'rate_limited'
  | 'memory_pressure'
  | 'internal_error'
>;

/** What a transport tells its session. None of these may throw (V11). */
export interface TransportSink {
  /** How long the peer may take nothing although there is something to take, in milliseconds. */
  readonly stallAfterMs: number;
  /** A text frame of the peer; `bytes` is its length as received. */
  received(text: string, bytes: number): void;
  /** A frame that is not text; nothing of it is kept. */
  receivedBinary(): void;
  /** The peer broke the transport's own rules, or is gone; the session closes it for this reason. */
  faulted(reason: Fault): void;
  /** The peer has said that it leaves: nothing can be written any more, and `ended` follows. */
  left(): void;
  /** The outstanding batch has been handed to the kernel whole. */
  completed(): void;
  /** `writable` has become true without a completion: a poll arrived, a stream was reopened. */
  ready(): void;
  /** A heartbeat came back. */
  roundTrip(seconds: number): void;
  /** The session is over, once; nothing else is called afterwards. */
  ended(reason: EndReason): void;
}

/** The request that a connection began with. */
export interface Handshake {
  /** As they came: cookies, `authorization`, what a proxy has added. Secrets are among them. */
  readonly headers: IncomingHttpHeaders;
  /** Path and query. */
  readonly url: string;
  /** Of the peer, as `trustProxy` has it. */
  readonly address: string;
}

/** What is done with a new session: it gets a sink, which may close it at once. */
export type Accept = (transport: Transport, handshake?: Handshake) => TransportSink;
