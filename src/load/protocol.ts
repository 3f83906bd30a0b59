/**
 * The contract of a protocol: how one kind of server is spoken to over a WebSocket. The targets that
 * `roomcast load` knows are written to it (targets/), and so is a file given with `--protocol`, whose
 * default export is a `Protocol`. Exported as types by `roomcast/load`; docs/load-protocol.md is the
 * guide, examples/load/ has four. Types only; carrying a protocol over a wire is targets/link.ts.
 */

/** One frame as it came: `buf[start, end)`. Valid during `decode` only: copy what you keep. */
export interface Frame {
  readonly buf: Buffer;
  readonly start: number;
  readonly end: number;
  /** The frame as text (UTF-8). */
  text(): string;
  /**
   * A text as JSON: the whole frame, or a part of it. What is not JSON ends the connection, and the
   * report says what the server sent.
   */
  json(text?: string): unknown;
}

/** The last message of a room that a member has had, or has been told it would not get. */
export interface Position {
  /** What the room's numbers are counted in; another one starts anew. */
  readonly epoch: string;
  readonly seq: number;
}

/**
 * One connection, as a protocol sees it: what it sends, and what it reports of what came back.
 * @typeParam State what the protocol remembers of a connection
 */
export interface Connection<State = undefined> {
  /** What `Protocol.state` made for this connection. */
  readonly state: State;
  /** Sends one frame: text, or bytes. Frames sent before the WebSocket is open are dropped. */
  send(frame: string | Uint8Array): void;
  /** The connection may join and publish from now on. */
  ready(): void;
  /**
   * The room is joined: what is published from now on is owed.
   * @param seq the room's last number before joining, with a `numbered` protocol
   * @param epoch with `positions`: what the numbers are counted in
   * @param continues the join came with a position, and all that came after it follows, in messages or
   *   in gaps
   */
  joined(room: string, seq?: number, epoch?: string, continues?: boolean): void;
  left(room: string): void;
  /**
   * A message came.
   * @param data the payload, as `publish` was given it; text around it does no harm
   * @param seq the room's number for it, with a `numbered` protocol
   */
  message(data: string, seq?: number): void;
  /**
   * A message came whose payload is somewhere in `buf[start, end)`, as it was published. Nothing is
   * parsed or copied, so that one core takes in a million a second.
   * @param roomAt where in `buf` the name of the room begins that it came with, as a JSON string: a
   *   message whose publisher is of another room is in the wrong one
   */
  messageIn(buf: Buffer, start: number, end: number, seq?: number, roomAt?: number): void;
  /** The server says that this connection will not get the messages `from`–`to` of the room. */
  gap(room: string, from: number, to: number): void;
  /**
   * A message came that `backfill` asked for.
   * @param data the payload, as for `message`
   */
  past(room: string, seq: number, data: string): void;
  /**
   * All that `backfill` asked for, up to `to`, has come. Where `to` is less than what was asked for, the rest is asked for then.
   * @param missing ranges that the server no longer keeps
   */
  answered(
    room: string,
    to: number,
    missing: readonly (readonly [from: number, to: number])[],
  ): void;
  /** The server would not give what `backfill` asked for; it is asked again. */
  refusedPast(code: string): void;
  /** The answer to a `publish` with `confirm`: the room's number for the message. */
  confirmed(room: string, seq: number): void;
  /** The server refused a join or a publish. @param code a word, which the report counts */
  refused(code: string): void;
  /** Why the server is about to end the connection; the report has it as the reason of the end. */
  closing(reason: string): void;
  /** Ends the connection from this side. */
  close(): void;
}

/**
 * How a kind of server is spoken to. Every function returns nothing and may not wait: what it has to
 * say it says through the connection. A function that throws ends the whole test with exit code 2.
 * @typeParam State what it remembers of a connection, such as the ids of its requests
 */
export interface Protocol<State = undefined> {
  /** What reports call the target: lower-case letters, digits and dashes. */
  readonly name: string;
  /** Path and query of the URL where the one given has none. Default: `/`. */
  readonly path?: string;
  /** WebSocket subprotocol to ask for. */
  readonly subprotocol?: string;
  /** The kind of frames it sends. Default: `text`. */
  readonly frames?: 'text' | 'binary';
  /**
   * The server numbers the messages of a room, without holes, and announces what a member misses:
   * `joined`, `message` and `confirmed` then tell the numbers. Default: false.
   */
  readonly numbered?: boolean;
  /** A join may name the position to go on from; only with `numbered`. Default: false. */
  readonly positions?: boolean;
  /** How often `heartbeat` is called on each connection, in ms. */
  readonly heartbeatMs?: number;

  /** Makes what is remembered of a new connection. */
  state?(): State;
  /** The WebSocket is open: greet, or say `ready()` where no greeting is needed. */
  open(connection: Connection<State>): void;
  /**
   * Joins a room; `joined(room)` follows, here or when the answer has been decoded.
   * @param since with `positions`: go on from there
   */
  join(connection: Connection<State>, room: string, since?: Position): void;
  /** Leaves a room; `left(room)` follows. Without it members disconnect instead. */
  leave?(connection: Connection<State>, room: string): void;
  /**
   * Publishes to a room that was joined.
   * @param data the payload: ASCII without quotes or backslashes, so that JSON needs no escaping
   * @param confirm the room's number is wanted, by `confirmed`; only with a `numbered` protocol
   */
  publish(connection: Connection<State>, room: string, data: string, confirm: boolean): void;
  /**
   * Asks for messages that a gap has named; `past` and `answered` follow. Of a connection one such is
   * under way at a time. Only with a `numbered` protocol; without it cohorts cannot have `backfill=true`.
   */
  backfill?(connection: Connection<State>, room: string, from: number, to: number): void;
  /** A frame came. */
  decode(connection: Connection<State>, frame: Frame): void;
  /** Keeps the connection alive, every `heartbeatMs`. */
  heartbeat?(connection: Connection<State>): void;
}
