/**
 * The contract of a protocol: how `roomcast load` speaks to one kind of server over a WebSocket. The
 * built-in targets implement it (targets/), and so does a `--protocol` file, whose default export is a
 * `Protocol`. Exported as types by `roomcast/load`; docs/load-protocol.md is the guide, examples/load/
 * has four examples. Types only; targets/link.ts carries a protocol over a transport.
 */

/** One received frame: `buf[start, end)`. Valid only during `decode`: copy what you keep. */
export interface Frame {
  readonly buf: Buffer;
  readonly start: number;
  readonly end: number;
  /** The frame as text (UTF-8). */
  text(): string;
  /**
   * Parses JSON: the whole frame, or a part of it. If it is not JSON, the connection ends and the report
   * says what the server sent.
   */
  json(text?: string): unknown;
}

/** The last message of a room that a member received, or was told it will not get. */
export interface Position {
  /** The epoch of the room's sequence numbers; numbers of different epochs are unrelated. */
  readonly epoch: string;
  readonly seq: number;
}

/**
 * One connection as a protocol sees it: methods to send, and methods to report what was received.
 * @typeParam State what the protocol remembers of a connection
 */
export interface Connection<State = undefined> {
  /** What `Protocol.state` returned for this connection. */
  readonly state: State;
  /** Sends one frame: text, or bytes. Frames sent before the WebSocket is open are dropped. */
  send(frame: string | Uint8Array): void;
  /** The connection may join and publish from now on. */
  ready(): void;
  /**
   * The room is joined: the server owes the member everything published from now on.
   * @param seq the room's last number before joining, with a `numbered` protocol
   * @param epoch with `positions`: the epoch of the sequence numbers
   * @param continues true if the join named a position and the server sends everything after it, as
   *   messages or as gaps
   */
  joined(room: string, seq?: number, epoch?: string, continues?: boolean): void;
  left(room: string): void;
  /**
   * A message was received.
   * @param data the payload as given to `publish`; text around it does no harm
   * @param seq the message's sequence number in its room, with a `numbered` protocol
   */
  message(data: string, seq?: number): void;
  /**
   * A message was received whose payload, as published, is somewhere in `buf[start, end)`. Nothing is
   * parsed or copied, so that one core handles a million messages a second.
   * @param roomAt offset in `buf` of the room name as a JSON string. A message counts as delivered to
   *   the wrong room if its publisher belongs to another room
   */
  messageIn(buf: Buffer, start: number, end: number, seq?: number, roomAt?: number): void;
  /** The server says that this connection will not get the messages `from`–`to` of the room. */
  gap(room: string, from: number, to: number): void;
  /**
   * A message was received that `backfill` requested.
   * @param data the payload, as for `message`
   */
  past(room: string, seq: number, data: string): void;
  /**
   * Everything that `backfill` requested, up to `to`, was received. If `to` is less than requested, the
   * rest is requested next.
   * @param missing ranges that the server no longer keeps
   */
  answered(
    room: string,
    to: number,
    missing: readonly (readonly [from: number, to: number])[],
  ): void;
  /** The server refused what `backfill` requested; the request is repeated. */
  refusedPast(code: string): void;
  /** The answer to a `publish` with `confirm`: the message's sequence number in its room. */
  confirmed(room: string, seq: number): void;
  /** The server refused a join or a publish. @param code a word; the report counts refusals by it */
  refused(code: string): void;
  /** Why the server is about to close the connection; the report shows this as the reason. */
  closing(reason: string): void;
  /** Ends the connection from this side. */
  close(): void;
}

/**
 * How to speak to one kind of server. Every function returns nothing and must not wait: it reports
 * results through the connection. A function that throws ends the whole test with exit code 2.
 * @typeParam State what it remembers of a connection, such as the ids of its requests
 */
export interface Protocol<State = undefined> {
  /** Name of the target in reports: lower-case letters, digits and dashes. */
  readonly name: string;
  /** Path and query for URLs that have none. Default: `/`. */
  readonly path?: string;
  /** WebSocket subprotocol to ask for. */
  readonly subprotocol?: string;
  /** The kind of frames it sends. Default: `text`. */
  readonly frames?: 'text' | 'binary';
  /**
   * The server numbers the messages of a room without holes and announces what a member misses.
   * `joined`, `message` and `confirmed` then pass the numbers. Default: false.
   */
  readonly numbered?: boolean;
  /** A join may name the position to resume from; only with `numbered`. Default: false. */
  readonly positions?: boolean;
  /** How often `heartbeat` is called on each connection, in ms. */
  readonly heartbeatMs?: number;

  /** Creates what the protocol remembers of a new connection. */
  state?(): State;
  /** The WebSocket is open: send a greeting, or call `ready()` if none is needed. */
  open(connection: Connection<State>): void;
  /**
   * Joins a room; `joined(room)` follows, here or when the answer is decoded.
   * @param since with `positions`: resume from there
   */
  join(connection: Connection<State>, room: string, since?: Position): void;
  /** Leaves a room; `left(room)` follows. Without this function members disconnect instead. */
  leave?(connection: Connection<State>, room: string): void;
  /**
   * Publishes to a room that was joined.
   * @param data the payload: ASCII without quotes or backslashes, so that JSON needs no escaping
   * @param confirm requests the message's number through `confirmed`; only with a `numbered` protocol
   */
  publish(connection: Connection<State>, room: string, data: string, confirm: boolean): void;
  /**
   * Requests messages that a gap named; `past` and `answered` follow. A connection has one request at a
   * time. Only with a `numbered` protocol; without this function cohorts cannot have `backfill=true`.
   */
  backfill?(connection: Connection<State>, room: string, from: number, to: number): void;
  /** A frame was received. */
  decode(connection: Connection<State>, frame: Frame): void;
  /** Keeps the connection alive, every `heartbeatMs`. */
  heartbeat?(connection: Connection<State>): void;
}
