/**
 * The broker contract, version 2. A broker owns the order of each room: it assigns `seq` and `epoch` to
 * every publication and delivers it to every subscribed node, including the publisher's own.
 *
 * Order. Within one epoch a room's publications are delivered in `seq` order, each at most once. Calls
 * for one room are carried out in the order they were made, even while earlier ones are unanswered.
 * Answers may arrive in any order, before or after the delivery they belong to.
 *
 * Numbers. An (epoch, seq) of a room names one publication for ever (V20). A broker that cannot
 * guarantee that, because it restarted or lost data, continues in a new epoch and reports it with
 * `onReset`; the number it continues from may be lower than before.
 *
 * Losses. A hole in the delivered numbers is a loss of the broker, and the room announces it. A loss
 * that no later publication would reveal is reported with `onLost` or `onReset` (V21).
 *
 * A broker answers at once or with a promise, and never calls back about a room without a subscription.
 * It does not reconnect, resend or queue without our knowledge (V22).
 */

/** A message as the publisher submits it. */
export interface Payload {
  /** JSON text, passed on unchanged. */
  readonly data: string;
  /** Id of the publishing member, or null for the HTTP API. */
  readonly from: string | null;
  /** User id of the publisher, if known. */
  readonly user?: string | undefined;
  readonly key?: string | undefined;
  /** Event name, for protocols that have one; `message` if absent. */
  readonly event?: string | undefined;
  /** Id of one member that must not receive the message. */
  readonly except?: string | undefined;
  /** The `traceparent` of the publish, if tracing records it. */
  readonly trace?: string | undefined;
}

/** A position in a room's history. `seq` counts from 1. Another `epoch` is a different numbering. */
export interface Position {
  readonly seq: number;
  readonly epoch: string;
}

export interface Publication extends Payload, Position {
  readonly room: string;
  /** Milliseconds since 1970, by the broker's clock. */
  readonly at: number;
}

export interface PublishOptions {
  /**
   * On the clock of `nowMs()`. After the deadline the publisher has been told that the publish failed,
   * so the broker must not accept it any more.
   */
  readonly deadline: number;
  /**
   * The publisher's own id for this publication. If the same id is published to the room again within
   * `UID_MS`, the broker returns the position of the first and publishes nothing.
   */
  readonly uid?: string | undefined;
}

/** How long a `uid` is remembered, in milliseconds. */
export const UID_MS = 300_000;

/**
 * `suspended`: the broker is unreachable; losses become known when it is reachable again, and members
 * stay. `down`: the broker is known to be gone.
 */
export type BrokerState = 'up' | 'suspended' | 'down';

/** Where a loss happened: `broker` is at the broker or before it, `node` is between two nodes. */
export type LossReason = 'broker' | 'node';

/** A request for part of a room's history. */
export interface Range {
  /** Inclusive on both ends; `from` is at least 1. */
  readonly from: number;
  readonly to: number;
  readonly maxMessages: number;
  /** Bytes of UTF-8 of `data`. The first publication is returned whatever its size. */
  readonly maxBytes: number;
}

/** Part of a room's history as the broker still has it. */
export interface Past extends Position {
  /** `seq` of the oldest publication kept; `seq` + 1 if none is kept. */
  readonly oldest: number;
  readonly publications: readonly Publication[];
}

/** One node's presence in a room: one user, or all anonymous members together. */
export interface Share {
  readonly user: string | null;
  /** Connections at that node. 0: disconnected, lingering. null: removed. */
  readonly connections: number | null;
  /** Milliseconds since 1970: when the user joined at that node, and when this entry last changed. */
  readonly since: number;
  readonly at: number;
  /** JSON text: the info shown with the user. */
  readonly info?: string;
}

export interface BoardEvents {
  /** A node reports shares of a room. `isWhole`: the node has no others in the room. */
  told(room: string, node: string, shares: readonly Share[], isWhole: boolean): void;
  /** A node is gone; drop its shares in all rooms. */
  gone(node: string): void;
  /** This node's shares of a room; empty if no member is in it. */
  own(room: string): Iterable<Share>;
  /** Rooms in which this node has shares. */
  rooms(): Iterable<string>;
}

/**
 * Presence across all nodes. Each node reports its own shares, and all nodes converge once changes
 * cease. A node that dies without closing is reported `gone` when its lease expires.
 */
export interface Board {
  /** Called once, before any other method. */
  attach(events: BoardEvents): void;
  /** This node has members in the room from now on: reports other nodes' shares of it. */
  enter(room: string): void;
  /**
   * This node has no members in the room any more. Returns true if the board stops reporting the room,
   * so that the caller must forget it.
   */
  leave(room: string): boolean;
  /**
   * Publishes changes of this node's shares. Never waits and never refuses; what cannot be sent now is
   * sent later.
   */
  tell(room: string, shares: readonly Share[]): void;
  /**
   * Reads all nodes' shares of a room that has no member at this node; only for boards that do not
   * report such rooms by themselves.
   *
   * @throws Refusal `broker_unavailable`, within its own deadline
   */
  read?(room: string): Promise<readonly (readonly [node: string, shares: readonly Share[]])[]>;
}

export type MaybePromise<T> = T | Promise<T>;

/**
 * Each `signal` belongs to one call until that call is answered. A call that is answered synchronously
 * leaves its signal unused, and the next call may be passed the same one.
 */
export interface Broker {
  /**
   * Sets the delivery callback. It, `onReset`, `onLost` and `onState` are set once, before the first
   * subscription.
   */
  onDeliver(deliver: (publication: Publication) => void): void;
  /**
   * A room's numbering continues at `position`, in a new epoch. `was` is the last position of the old
   * epoch that was delivered or reported here; what followed it there is unknown.
   */
  onReset(reset: (room: string, position: Position, was: Position) => void): void;
  /**
   * Publications of the room up to `to`, in the current epoch, that have not been delivered are lost.
   * `reason` defaults to `broker`.
   */
  onLost(lost: (room: string, to: number, reason?: LossReason) => void): void;
  /**
   * Sets a function that counts this node's members of a room, for brokers that resume rooms one by
   * one: they resume the largest first. Set once, like the callbacks above.
   */
  measureRooms?(sizeOf: (room: string) => number): void;
  /** Sets the callback for changes of the overall state. */
  onState(changed: (state: BrokerState) => void): void;
  /** The current state: of the broker responsible for `room`, or overall. */
  state(room?: string): BrokerState;
  /**
   * Resolves only once the publication has its position. A rejection means that no one has seen it or
   * will, except for the Refusal `broker_uncertain`: then it may have been published, once.
   */
  publish(room: string, payload: Payload, options: PublishOptions): MaybePromise<Position>;
  /**
   * Delivery begins after the returned position, possibly before the answer arrives. The position may be
   * behind a publish that has been answered, if other subscribers have not received that yet. With
   * `since`, the node already has everything up to that position: the broker first delivers what
   * followed if it still has it, else reports it with `onLost` or `onReset`. If `signal` aborts before
   * the answer, the broker undoes the subscription.
   */
  subscribe(room: string, signal: AbortSignal, since?: Position): MaybePromise<Position>;
  /** If `signal` aborts, the caller no longer waits; the unsubscribe may or may not be carried out. */
  unsubscribe(room: string, signal: AbortSignal): MaybePromise<void>;
  /**
   * For brokers with several nodes, where another node may be ahead. Resolves when everything published
   * to the subscribed room before the call is delivered or reported here. If `signal` aborts, the
   * caller no longer waits.
   */
  settled?(room: string, signal: AbortSignal): MaybePromise<void>;
  /**
   * For brokers that keep history. Returns the kept publications of the range: ascending, without a
   * hole from `max(from, oldest)` on, at least one if there is one, byte for byte as delivered, never
   * beyond `seq`, all of `epoch`. A publication is readable before it is delivered. For a room that is
   * unknown or has no history, `publications` is empty.
   */
  history?(room: string, range: Range, signal: AbortSignal): MaybePromise<Past>;
  /**
   * For brokers that have `history`. Deletes the room's history up to `through`; its numbers and epoch
   * stay.
   */
  purge?(room: string, through: number, signal: AbortSignal): MaybePromise<void>;
  /** Current round trip of a message to the broker and back to this node, in milliseconds, if known. */
  readonly lagMs?: number;
  /** Presence at other nodes, for brokers that share it. */
  readonly board?: Board;
  /** Settles when all pending calls are settled and the broker holds no resource any more. */
  close(): MaybePromise<void>;
}
