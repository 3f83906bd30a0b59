/**
 * The contract of a wire: one connection that carries text payloads both ways and whose reading can be
 * paused and paced, so that a member can be slow like a real TCP peer. One class per transport
 * (websocket.ts, sockjs.ts). Not here: the meaning of payloads (targets/).
 */

/** Larger frames and lines from a server end the connection (V3). */

/** What a server sends in one piece beyond this is taken for nonsense, and the connection ends (V3). */
export const PAYLOAD_MAX = 64 * 1024 * 1024;

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Where and how a wire connects. */
export interface Endpoint extends Address {
  /** Connect to this address instead (an in-process proxy); the request still names `host` and `port`. */
  readonly via?: Address;
  readonly tls: boolean;
  /** Path and query of the request. */
  readonly path: string;
  /** Extra request headers. */
  readonly headers: Readonly<Record<string, string>>;
  /** WebSocket subprotocol to request. */
  readonly subprotocol?: string;
  /** Most bytes taken from the kernel by one read; small for members that read slowly. */
  readonly readSize: number;
}

/** Events of a wire. `closed` is called exactly once, and last. */
export interface WireEvents {
  /** Bytes arrived at `now` (µs of the machine's clock); called before the payloads they contain. */
  chunk(bytes: number, now: number): void;
  open(): void;
  /** One payload, in `buf[start, end)`, valid during the call only. */
  payload(buf: Buffer, start: number, end: number): void;
  /** @param reason a close code and reason, an errno such as `ECONNRESET`, or `end` */
  closed(reason: string): void;
}

export interface Wire {
  /** Queues a payload. */
  send(payload: Uint8Array): void;
  /** Bytes accepted by `send` that the kernel has not taken yet. */
  readonly backlog: number;
  /** Stops reading, so that the TCP receive window closes. */
  pause(): void;
  resume(): void;
  /** Detects a reset by the peer, without sending or reading a byte. */
  probe(): void;
  /** Closes in order: a close frame, then FIN. */
  close(): void;
  /** Disconnects with a TCP reset. */
  reset(): void;
}
