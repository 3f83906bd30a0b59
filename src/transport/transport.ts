/**
 * The contract of a transport: one session of one peer, which takes one batch at a time and reports when
 * the kernel has it. That report is all the backpressure there is (V3): whatever the peer does, at most
 * one batch is outstanding.
 *
 * Not here: queues and policies (`room/`), the meaning of the text (`session/session.ts`).
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { CloseReason, EndReason } from '../errors.js';

/** In the order of `Framing.index`; also the values of the metric label `transport`. */
export const TRANSPORTS = [
  'websocket',
  'sockjs-websocket',
  'xhr-streaming',
  'eventsource',
  'xhr-polling',
] as const;

export type TransportName = (typeof TRANSPORTS)[number];

/**
 * Turns text into bytes for one transport. A message is framed once per `encoding`, whatever the number
 * of members (V6); `join` then combines several frames into one write, shared by all members on the same
 * transport.
 */
export interface Framing {
  /** Index in `TRANSPORTS`. */
  readonly index: number;
  readonly encoding: Encoding;
  /** Joins frames, at least one, into a batch. `bytes` is the sum of their lengths. */
  join(frames: readonly Buffer[], bytes: number): Buffer;
}

/** A way of encoding a text so that frames can be joined; transports may share it. */
export interface Encoding {
  /** Dense from 0: frames are cached in arrays. */
  readonly index: number;
  encode(text: string): Buffer;
}

export interface Transport {
  readonly name: TransportName;
  readonly framing: Framing;
  /** The peer's address, resolved by `trustProxy`. */
  readonly remoteAddress: string;
  /**
   * Whether `write` may be called now: the session is open, nothing is outstanding, and, where the peer
   * has to poll (SockJS over HTTP), a poll is open.
   */
  readonly writable: boolean;
  /**
   * Reads the fields `write` reads first, to bring them into the processor's caches; optional. The
   * result means nothing: it exists so that no compiler removes the reads.
   */
  prefetch?(): boolean;
  /**
   * When the peer last took bytes, as far as known, in loop clock milliseconds (V13). The getter looks
   * at the socket, so it has to be read now and then while something waits for the peer.
   */
  readonly progressAt: number;
  /**
   * Messages written that the peer has not confirmed to have read, including those of an outstanding
   * batch. Stays valid after the session has ended.
   */
  readonly unconfirmedMessages: number;
  /**
   * Writes one batch with `messages` messages to the socket. Returns true if the kernel has all of it.
   * Returns false if it is outstanding; `TransportSink.completed` then follows once, unless the session
   * ends first. Only called while `writable`. Never throws.
   */
  write(batch: Buffer, messages: number): boolean;
  /**
   * Closes the session in order: sends `farewell` (a framed, joined batch) and the close frame behind
   * the outstanding batch, and waits for the peer's close. The peer is reset if it takes nothing for
   * `graceMs`, or is not done after `limitMs`, by default the same. `TransportSink.ended` follows once.
   * Repeated calls do nothing.
   */
  close(reason: CloseReason, farewell: Buffer, graceMs: number, limitMs?: number): void;
  /**
   * Pauses or resumes the peer's input, while earlier input is handled. Optional: other transports go on
   * reading, and the session's input bound ends the peer.
   */
  holdInput?(isHeld: boolean): void;
  /** Resets the session and frees what the kernel holds for it. `ended` follows once. */
  reset(reason: EndReason): void;
}

/** Close reasons that a transport can detect. */
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

/** Callbacks of a transport to its session. None of these may throw (V11). */
export interface TransportSink {
  /** How long the peer may take nothing while something waits for it, in milliseconds. */
  readonly stallAfterMs: number;
  /** A text frame from the peer; `bytes` is its length as received. */
  received(text: string, bytes: number): void;
  /** A frame that is not text. Its content is discarded. */
  receivedBinary(): void;
  /** The peer violated the transport's protocol, or is gone; the session closes with this reason. */
  faulted(reason: Fault): void;
  /** The peer has sent its close frame: nothing can be written any more, and `ended` follows. */
  left(): void;
  /** The kernel has taken the whole outstanding batch. */
  completed(): void;
  /** `writable` became true without a completion: a poll arrived or a stream was reopened. */
  ready(): void;
  /** A heartbeat was answered after `seconds`. */
  roundTrip(seconds: number): void;
  /** The session has ended. Called once, and last. */
  ended(reason: EndReason): void;
}

/** The request that opened a connection. */
export interface Handshake {
  /** Headers as received: cookies, `authorization`, proxy headers. They contain secrets. */
  readonly headers: IncomingHttpHeaders;
  /** Path and query. */
  readonly url: string;
  /** Address of the peer, resolved by `trustProxy`. */
  readonly address: string;
}

/** Creates the sink of a new session, which may close it at once. */
export type Accept = (transport: Transport, handshake?: Handshake) => TransportSink;
