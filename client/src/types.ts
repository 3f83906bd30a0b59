/** Public types: the calls an app makes, the events it receives and the options it sets. No code. */
import type { Healing } from './backfill.js';
import type { RoomcastError } from './errors.js';
import type { Feature, HealthState, Position, PresenceCounts, Present } from './wire.js';

/**
 * Message types where none are given. Yours are a type or an interface with the message type of each
 * room: `{ stats: Stats }`, or by pattern ``{ [k: `chat:${string}`]: Chat }``.
 */
export type Rooms = { [room: string]: unknown };

/**
 * `idle`: `open()` has not been called yet (`lazy`). `waiting`: between two attempts. `suspended`: the
 * page is frozen or in the back/forward cache. `closed`: permanently.
 */
export type State = 'idle' | 'connecting' | 'online' | 'waiting' | 'suspended' | 'closed';

/**
 * Why a connection ended. `code` is the close code, or a word when the client ended the connection
 * itself.
 */
export interface CloseReason {
  readonly code: number | string;
  readonly message: string;
}

/**
 * A source of events. `on` calls `fn` for each event until the returned function is called or the signal
 * aborts.
 */
export interface Listenable<Events> {
  on<E extends keyof Events>(
    type: E,
    fn: (event: Events[E]) => void,
    options?: { signal?: AbortSignal | undefined },
  ): () => void;
}

export interface Client<R extends object = Rooms> extends Listenable<ClientEvents> {
  readonly state: State;
  /** Id of the current connection; null without one. Each connection has a new id. */
  readonly member: string | null;
  /** Features of the server of the latest connection. The client does without the features it lacks. */
  readonly features: readonly Feature[];
  /**
   * Returns the handle of a room, the same one for the same name. `options` apply only to the call that
   * creates the handle.
   */
  room<N extends keyof R & string>(name: N, options?: RoomOptions<R[N]>): Room<R[N]>;
  /** Connects after `lazy`, or after a suspension. Does nothing in other states. */
  open(): void;
  /**
   * Measures the round trip to the server, in milliseconds.
   * @throws RoomcastError `not_online`, `connection_lost`, `aborted`, as a rejection
   */
  ping(options?: { signal?: AbortSignal }): Promise<number>;
  /** Closes the client permanently. With `drainMs`, pending publishes have that long to be answered. */
  close(options?: { drainMs?: number }): Promise<void>;
}

export interface ClientEvents {
  state: { state: State; previous: State; reason?: CloseReason; retryInMs?: number };
  /**
   * How far this connection is behind, and in how many milliseconds the server evicts it unless it
   * reads.
   */
  health: {
    type: 'health';
    state: HealthState;
    queued: { messages: number; bytes: number };
    evictAfterMs?: number | undefined;
  };
  /**
   * Whether the server reaches its broker. While `suspended`, messages may be late, or lost and reported
   * as a gap.
   */
  broker: { type: 'broker'; state: 'up' | 'suspended' };
  /**
   * Errors that nothing else reports. A reconnect is never one. If nobody listens to `state`, a close
   * that the app did not ask for is reported here. Without a listener, errors go to the console.
   */
  error: RoomcastError;
}

/** `failed`: the server refused the join, or removed this connection from the room. */
export type RoomState = 'idle' | 'joining' | 'joined' | 'waiting' | 'left' | 'failed';

export interface Room<T> extends Listenable<RoomEvents<T>> {
  readonly name: string;
  readonly state: RoomState;
  /** Position of the last message or gap delivered to the app. */
  readonly position: Position | null;
  /**
   * Joins now or as soon as there is a connection, and rejoins after each connection loss until `leave`.
   * @throws RoomcastError as a rejection: the server's refusal, `left`, `closed`, `aborted`
   */
  join(options?: { signal?: AbortSignal }): Promise<Joined>;
  /** Leaves. Nothing is delivered after the call. Resolves when the server has answered. */
  leave(): Promise<void>;
  /**
   * Publishes any JSON value. The publish waits in a bounded queue while there is no connection.
   * @throws RoomcastError as a rejection: the server's refusal, `queue_full`, `bad_data`,
   *   `message_too_big`; `connection_lost`: it may have been published; `timeout`, `aborted`, `closed`:
   *   if it was sent, it may have been published
   */
  publish(data: T, options?: PublishOptions): Promise<{ seq: number }>;
}

export interface PublishOptions {
  /** Conflation key, for rooms that keep only the latest message of each key. */
  key?: string;
  signal?: AbortSignal;
  /** Milliseconds; overrides the `timeoutMs` of the client's `publish` option. */
  timeoutMs?: number;
}

export interface Message<T> {
  readonly type: 'message';
  readonly data: T;
  readonly seq: number;
  /** Milliseconds since 1970, by the server's clock. */
  readonly at: number;
  /** Member that published it; null if it was published through the server's HTTP API. */
  readonly from: string | null;
  /** User of that member, if the server authenticates users. */
  readonly user?: string;
  readonly key?: string;
  /** Whether this client published it. */
  readonly own: boolean;
}

/**
 * Messages that will not be delivered. The numbers are null if the epoch changed, since the loss is then
 * unknown.
 */
export interface Gap {
  readonly type: 'gap';
  readonly from: number | null;
  readonly to: number | null;
  readonly count: number | null;
  readonly reason: GapReason;
}

/**
 * Sent by the server: `overflow`, `conflated`, `broker`, `node`, `expired`, `left`. Detected by the
 * client: `disconnected` (published while it had no connection), `reset` (the epoch changed),
 * `unannounced` (a sequence number was skipped without a gap), `consumer` (an iterator was read too
 * slowly).
 */
export type GapReason =
  | 'overflow'
  | 'conflated'
  | 'broker'
  | 'node'
  | 'expired'
  | 'left'
  | 'disconnected'
  | 'reset'
  | 'unannounced'
  | 'consumer';

export interface Joined {
  readonly type: 'joined';
  /** Sequence number of the newest message in the room. */
  readonly seq: number;
  /** Connections in the room, including this one. */
  readonly members: number;
  /**
   * Result of resuming from the previous position. `first`: there was no previous position. `complete`:
   * every missed message follows. `partial`: gaps report the messages that do not follow. `lost`: one
   * gap covers every missed message. `reset`: the epoch changed.
   */
  readonly recovery: 'first' | 'complete' | 'partial' | 'lost' | 'reset';
  /** Messages published since the position; null if unknown. */
  readonly missed: number | null;
  /** Number of missed messages that will be delivered; null if only the gaps that follow tell. */
  readonly recovered: number | null;
}

/** Options of `events` in `roomcast-client/events`. */
export interface EventsOptions {
  signal?: AbortSignal | undefined;
  /** Maximum number of unread events; 1,000 by default. */
  buffer?: number;
}

/** The users in a room. Returned by `presence` of `roomcast-client/presence`. */
export interface Presence extends Listenable<PresenceEvents> {
  /** By user id. Empty if the room has more users than the server lists. Each change replaces the map. */
  readonly users: ReadonlyMap<string, Present>;
  /** Null until the server has sent them. */
  readonly counts: PresenceCounts | null;
  /** `count`: the server sends counts only, no users. */
  readonly mode: 'users' | 'count' | null;
}

export interface PresenceEvents {
  change: Presence;
}

export type RoomEvent<T> = Message<T> | Gap | Joined;

export interface RoomEvents<T> {
  message: Message<T>;
  gap: Gap;
  joined: Joined;
  /**
   * `reason`: `left` or `closed` after a call of the app; otherwise the server's reason or the code of
   * its refusal, and `error` is set.
   */
  left: { reason: string; error?: RoomcastError | undefined };
}

export interface RoomOptions<T> {
  /**
   * Converts received data to the app's type. If it throws, the client emits an `error` event and
   * continues.
   */
  parse?: (value: unknown) => T;
  /** Position of the data the app already has, for example in a page that a server rendered. */
  since?: Position;
  /**
   * Loads the app's own state, at the first join and after each loss that cannot be healed. Returns the
   * position of that state, which must be read before the state itself. Messages up to the position are
   * not delivered.
   */
  load?: (context: {
    reason: 'first' | 'gap' | 'reset';
    signal: AbortSignal;
  }) => Promise<Position | undefined>;
  /** Whether the client requests lost messages if the server keeps a history. True by default. */
  backfill?: boolean;
}

export type TokenReason = 'connect' | 'rejected' | 'expiring';

export interface Options {
  /**
   * Returns the token for each connection; null or '' for none. Throw `Unauthorised` to close the client
   * permanently.
   */
  getToken?: (context: {
    reason: TokenReason;
    signal: AbortSignal;
  }) => string | null | Promise<string | null>;
  /**
   * Pauses between attempts, in milliseconds: uniform up to `baseMs` (1,000) × 2ⁿ, at most `capMs`
   * (30,000), never below 100. n is reset to 0 after `stableMs` (10,000) online.
   */
  backoff?: { baseMs?: number; capMs?: number; stableMs?: number };
  /**
   * Timeout from opening the socket to the first frame; 10,000 by default. `getToken` has 10,000 of its
   * own.
   */
  connectTimeoutMs?: number;
  /** Timeout for the reply to a ping, sent after a heartbeat interval of silence; 10,000 by default. */
  pongTimeoutMs?: number;
  /**
   * `timeoutMs`: timeout for the answer to a publish (10,000). `queueMessages` (100) and `queueBytes` of
   * UTF-8 (65,536) bound the publishes that wait for a connection.
   */
  publish?: { timeoutMs?: number; queueMessages?: number; queueBytes?: number };
  /** Connects at `open()` instead of at once. False by default. */
  lazy?: boolean;
  /** Opens a WebSocket where none is built in: ``(url) => new WebSocket(url)`` of `ws`. */
  WebSocket?: SocketFactory;
  /** `healing` of `roomcast-client/backfill`: requests lost messages and calls `load`. */
  healing?: Healing;
  /** Source of lifecycle events. The page's own by default; false for none. */
  lifecycle?: Lifecycle | false;
  /** For tests. */
  random?: () => number;
  /** For tests. */
  now?: () => number;
}

export type SocketFactory = (url: string) => Socket;

/** The part of a WebSocket or a SockJS session that the client uses. */
export interface Socket {
  send(text: string): void;
  close(code?: number, reason?: string): void;
  /** Only in `ws`: destroys the connection without a close handshake. */
  terminate?(): void;
  readonly bufferedAmount?: number;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
}

export type LifecycleEvent = 'online' | 'offline' | 'visible' | 'hidden' | 'freeze' | 'resume';

/** Reports lifecycle events of the app. `watch` returns a function that stops it. */
export interface Lifecycle {
  watch(on: (event: LifecycleEvent) => void): () => void;
}
