/**
 * The contract of a wire: one connection that carries text payloads both ways and whose reading is
 * ours to pace, so that a member can be slow the way TCP peers are. One wire a transport
 * (websocket.ts, sockjs.ts); what the payloads mean is the business of targets/.
 */

/** What a server sends in one piece beyond this is taken for nonsense, and the connection ends (V3). */
export const PAYLOAD_MAX = 64 * 1024 * 1024;

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Where a wire connects, and how it introduces itself. */
export interface Endpoint extends Address {
  /** Connect here instead, still asking for `host` and `port`: an in-process proxy. */
  readonly via?: Address;
  readonly tls: boolean;
  /** Path and query of the request. */
  readonly path: string;
  /** Extra request headers. */
  readonly headers: Readonly<Record<string, string>>;
  /** WebSocket subprotocol to ask for. */
  readonly subprotocol?: string;
  /** Most bytes taken from the kernel by one read: small for members that read little by little. */
  readonly readSize: number;
}

/** What a wire tells its owner. `closed` comes exactly once and last. */
export interface WireEvents {
  /** Bytes arrived at `now` (µs of the machine's clock); precedes the payloads in them. */
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
  /** Stops reading: the peer soon meets a closed receive window. */
  pause(): void;
  resume(): void;
  /** Finds out whether the peer reset the connection, without sending or reading a byte. */
  probe(): void;
  /** Leaves politely: a close frame, then FIN. */
  close(): void;
  /** Vanishes with a TCP reset. */
  reset(): void;
}
