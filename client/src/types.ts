/** The public types: what an app calls, what it is told, what it may set. No code. */
import type { Healing } from './backfill.js';
import type { RoomcastError } from './errors.js';
import type { Feature, HealthState, Position, PresenceCounts, Present } from './wire.js';

/** What the messages of each room are: `{ stats: Stats }`, or by pattern ``{ [k: `chat:${string}`]: Chat }``. */
export type Rooms = { [room: string]: unknown };

/**
 * `idle`: not asked to connect yet. `waiting`: between two attempts. `suspended`: the page is frozen or
 * in the back/forward cache. `closed`: for good.
 */
export type State = 'idle' | 'connecting' | 'online' | 'waiting' | 'suspended' | 'closed';

/** Why a connection ended: a close code, or a word where the client ended it itself. */
export interface CloseReason {
  readonly code: number | string;
  readonly message: string;
}

/** What tells of events: `on` calls `fn` at each until the returned function is called or the signal aborts. */
export interface Listenable<Events> {
  on<E extends keyof Events>(
    type: E,
    fn: (event: Events[E]) => void,
    options?: { signal?: AbortSignal | undefined },
  ): () => void;
}

export interface Client<R extends Rooms = Rooms> extends Listenable<ClientEvents> {
  readonly state: State;
  /** Id of this connection, another one at each; null while there is none. */
  readonly member: string | null;
  /** What the server of the latest connection offers; what it does not, the client does without. */
  readonly features: readonly Feature[];
  /** The handle of a room: the same for the same name. `options` count where they come first. */
  room<N extends keyof R & string>(name: N, options?: RoomOptions<R[N]>): Room<R[N]>;
  /** Connects after `lazy`, or after a suspension. Does nothing in other states. */
  open(): void;
  /**
   * Milliseconds to the server and back.
   * @throws RoomcastError `not_online`, `connection_lost`, `aborted`, as a rejection
   */
  ping(options?: { signal?: AbortSignal }): Promise<number>;
  /** Ends everything, for good. With `drainMs`, publishes under way have that long to be answered. */
  close(options?: { drainMs?: number }): Promise<void>;
}

export interface ClientEvents {
  state: { state: State; previous: State; reason?: CloseReason; retryInMs?: number };
  /** How far behind the server finds this connection, and when it will end it, unless something is read. */
  health: {
    type: 'health';
    state: HealthState;
    queued: { messages: number; bytes: number };
    evictAfterMs?: number | undefined;
  };
  /** Whether the server reaches its broker; while `suspended`, messages may be late, or lost and told. */
  broker: { type: 'broker'; state: 'up' | 'suspended' };
  /**
   * What nobody else is told: never a mere reconnect; an end that the app has not asked for, where nobody
   * listens to `state`. Without a listener it goes to the console.
   */
  error: RoomcastError;
}

/** `failed`: refused, or taken away by the server. */
export type RoomState = 'idle' | 'joining' | 'joined' | 'waiting' | 'left' | 'failed';

export interface Room<T> extends Listenable<RoomEvents<T>> {
  readonly name: string;
  readonly state: RoomState;
  /** Of what was last delivered or told missing. */
  readonly position: Position | null;
  /**
   * Joins, now or as soon as there is a connection, and again after each loss until `leave`.
   * @throws RoomcastError as a rejection: the server's refusal, `left`, `closed`, `aborted`
   */
  join(options?: { signal?: AbortSignal }): Promise<Joined>;
  /** Leaves: nothing is delivered after the call. Resolves when the server knows. */
  leave(): Promise<void>;
  /**
   * Publishes any JSON value. Waits in a bounded queue while there is no connection.
   * @throws RoomcastError as a rejection: the server's refusal, `queue_full`, `bad_data`, `message_too_big`;
   *   `connection_lost`: it may have been published; `timeout`, `aborted`, `closed`: it may, if it was sent
   */
  publish(data: T, options?: PublishOptions): Promise<{ seq: number }>;
}

export interface PublishOptions {
  /** Where a room keeps the latest of each key only, this is it. */
  key?: string;
  signal?: AbortSignal;
  /** Instead of that of the client's `publish`. */
  timeoutMs?: number;
}

export interface Message<T> {
  readonly type: 'message';
  readonly data: T;
  readonly seq: number;
  /** Milliseconds since 1970, by the server's clock. */
  readonly at: number;
  /** Member that published it; null for the server's HTTP API. */
  readonly from: string | null;
  /** The user behind it, where the server knows users. */
  readonly user?: string;
  readonly key?: string;
  /** Whether this client published it. */
  readonly own: boolean;
}

/** Messages that will not come. Nulls where nobody can know which: the numbering began anew. */
export interface Gap {
  readonly type: 'gap';
  readonly from: number | null;
  readonly to: number | null;
  readonly count: number | null;
  readonly reason: GapReason;
}

/**
 * From the server: `overflow`, `conflated`, `broker`, `node`, `expired`, `left`. Found by the client:
 * `disconnected` (published while it had no connection), `reset` (another numbering), `unannounced` (a
 * number was left out without a word), `consumer` (an iterator was not read).
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
  /** The newest number of the room. */
  readonly seq: number;
  /** Connections in the room, this one among them. */
  readonly members: number;
  /**
   * What became of the position from before: `complete`: nothing is missing, what was missed follows;
   * `partial`: gaps will say what does not; `lost`: a gap of all that was missed follows; `reset`: the
   * numbering is another.
   */
  readonly recovery: 'first' | 'complete' | 'partial' | 'lost' | 'reset';
  /** Messages published since the position; null where nobody can know. */
  readonly missed: number | null;
  /** How many of them will be delivered; null where only the gaps to come say. */
  readonly recovered: number | null;
}

/** Of `events` in `roomcast-client/events`. */
export interface EventsOptions {
  signal?: AbortSignal | undefined;
  /** Events that wait to be read; 1,000 unless set. */
  buffer?: number;
}

/** Who is in a room: `presence` of `roomcast-client/presence`. */
export interface Presence extends Listenable<PresenceEvents> {
  /** By user; empty above as many as the server lists. Another map at each change. */
  readonly users: ReadonlyMap<string, Present>;
  /** Null until the server has told. */
  readonly counts: PresenceCounts | null;
  /** `count`: the server tells how many there are, and not who. */
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
   * `reason`: `left` or `closed` by a call, else the server's or the code of its refusal; then there is
   * an `error` too.
   */
  left: { reason: string; error?: RoomcastError | undefined };
}

export interface RoomOptions<T> {
  /** Makes of what came what the app wants. What it throws is an `error` event; the room goes on. */
  parse?: (value: unknown) => T;
  /** What the app has already, of a page that a server rendered. */
  since?: Position;
  /**
   * Loads the app's own state, at the first join and at each loss that cannot be healed. Returns the
   * position that the state has, read before the state was: messages up to it are not delivered.
   */
  load?: (context: {
    reason: 'first' | 'gap' | 'reset';
    signal: AbortSignal;
  }) => Promise<Position | undefined>;
  /** Whether lost messages are asked for where the server keeps a history. True unless set. */
  backfill?: boolean;
}

export type TokenReason = 'connect' | 'rejected' | 'expiring';

export interface Options {
  /**
   * The token of each connection; null or '' for none. Throw `Unauthorised` to close for good.
   */
  getToken?: (context: {
    reason: TokenReason;
    signal: AbortSignal;
  }) => string | null | Promise<string | null>;
  /**
   * Pauses between attempts: uniform up to `baseMs` (1,000) × 2ⁿ, at most `capMs` (30,000), never below 100 ms;
   * n is 0 again after `stableMs` (10,000) online.
   */
  backoff?: { baseMs?: number; capMs?: number; stableMs?: number };
  /** From opening the socket to the server's first word; 10,000 unless set. The token has 10,000 of its own. */
  connectTimeoutMs?: number;
  /** From a ping, after a heartbeat's time of silence, to the loss of the connection; 10,000 unless set. */
  pongTimeoutMs?: number;
  /**
   * `timeoutMs`: until a publish without an answer is rejected (10,000). What waits for a connection:
   * `queueMessages` (100), `queueBytes` of UTF-8 (65,536) at most.
   */
  publish?: { timeoutMs?: number; queueMessages?: number; queueBytes?: number };
  /** Connects at `open()`, not at once. False unless set. */
  lazy?: boolean;
  /** Opens a WebSocket, where there is none built in: ``(url) => new WebSocket(url)`` of `ws`. */
  WebSocket?: SocketFactory;
  /** `healing` of `roomcast-client/backfill`: lost messages are asked for, and `load` is called. */
  healing?: Healing;
  /** Of the page, unless given; false for none. */
  lifecycle?: Lifecycle | false;
  /** For tests. */
  random?: () => number;
  /** For tests. */
  now?: () => number;
}

export type SocketFactory = (url: string) => Socket;

/** What the client uses of a WebSocket or a SockJS session. */
export interface Socket {
  send(text: string): void;
  close(code?: number, reason?: string): void;
  /** Of `ws`: ends a connection that nobody answers on. */
  terminate?(): void;
  readonly bufferedAmount?: number;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
}

export type LifecycleEvent = 'online' | 'offline' | 'visible' | 'hidden' | 'freeze' | 'resume';

/** What happens to the app as a whole; returns what stops the watching. */
export interface Lifecycle {
  watch(on: (event: LifecycleEvent) => void): () => void;
}
