/**
 * The contract of a broker, version 2. A broker owns the order of a room: it gives every publication
 * its `seq` and `epoch` and delivers to every subscribed node, the publisher's own included.
 *
 * Order. Within one epoch a room's publications are delivered in `seq` order, each at most once. Calls
 * for one room are carried out in the order they were made, also while earlier ones have no answer
 * yet; answers may come in any order, before or after what they are about is delivered.
 *
 * Numbers. An (epoch, seq) of a room names one publication, for ever (V20). A broker that cannot
 * keep that, since it has restarted or lost what it had, goes on in a new epoch and tells by
 * `onReset`; the number it goes on from may be lower than that of before.
 *
 * Losses. A hole in what is delivered is a loss of the broker's, which the room announces. What no
 * later publication would show is told by `onLost` or `onReset` (V21).
 *
 * A broker answers at once or with a promise, and never calls back about a room that is not subscribed.
 * It does not reconnect, resend or queue behind our back (V22).
 */

/** What a publisher hands over. */
export interface Payload {
  /** JSON text, passed on as it is. */
  readonly data: string;
  /** Id of the publishing member, or null for the HTTP API. */
  readonly from: string | null;
  /** The user behind the publisher, where one is known. */
  readonly user?: string | undefined;
  readonly key?: string | undefined;
  /** What it is called where messages have names; `message` without. */
  readonly event?: string | undefined;
  /** Id of the one member that is not to be sent it. */
  readonly except?: string | undefined;
  /** The `traceparent` of its publish, where that is recorded. */
  readonly trace?: string | undefined;
}

/** A place in a room's history. `seq` counts from 1; another `epoch` is another history. */
export interface Position {
  readonly seq: number;
  readonly epoch: string;
}

export interface Publication extends Payload, Position {
  readonly room: string;
  /** Milliseconds since 1970, at the broker. */
  readonly at: number;
}

export interface PublishOptions {
  /**
   * By `nowMs()`: after it the publisher has been told that its message failed, so that the broker
   * must not take it any more.
   */
  readonly deadline: number;
  /**
   * The publisher's own name for this publication. Given again for the room within `UID_MS`, the
   * answer is the position of the first, and nothing is published.
   */
  readonly uid?: string | undefined;
}

/** How long a `uid` is remembered, in milliseconds. */
export const UID_MS = 300_000;

/**
 * `suspended`: it cannot be reached, and whether anything is lost will be known when it can; members
 * stay. `down`: it is known to be gone.
 */
export type BrokerState = 'up' | 'suspended' | 'down';

/** Where a loss happened: at the broker or before it, or on the way from one node to another. */
export type LossReason = 'broker' | 'node';

/** Which publications of a room are asked for. */
export interface Range {
  /** Both included; `from` at least 1. */
  readonly from: number;
  readonly to: number;
  readonly maxMessages: number;
  /** Of UTF-8 of `data`. The first publication is answered whatever it has. */
  readonly maxBytes: number;
}

/** A part of what a room's broker still has. */
export interface Past extends Position {
  /** Of the oldest publication it has; `seq` + 1 when it has none. */
  readonly oldest: number;
  readonly publications: readonly Publication[];
}

/** What one node has of who is in a room: of one user, or of all who are nobody in particular together. */
export interface Share {
  readonly user: string | null;
  /** Of that node; 0: it is waited for there; null: it is not there any more. */
  readonly connections: number | null;
  /** Milliseconds since 1970: when it came there, and when that said something new last. */
  readonly since: number;
  readonly at: number;
  /** JSON text: what is shown of it. */
  readonly info?: string;
}

export interface BoardEvents {
  /** A node has this from now on; `isWhole`: and nothing else in the room. */
  told(room: string, node: string, shares: readonly Share[], isWhole: boolean): void;
  /** A node is gone, with all that it had in any room. */
  gone(node: string): void;
  /** What this node has in a room; nothing where nobody is there. */
  own(room: string): Iterable<Share>;
  /** Rooms this node has anything in. */
  rooms(): Iterable<string>;
}

/**
 * Who is in rooms, of all nodes. Each tells what it has, and all have the same once nothing changes. A
 * node that ends without a word is `gone` when its lease is over.
 */
export interface Board {
  /** Once, before all else. */
  attach(events: BoardEvents): void;
  /** Somebody of this node is in a room from now on: what others have there is told. */
  enter(room: string): void;
  /** Nobody is any more. True where it is not told of the room from now on, and has to forget it. */
  leave(room: string): boolean;
  /** What this node has has changed. Never waits, and is never refused: what does not get through is told later. */
  tell(room: string, shares: readonly Share[]): void;
  /**
   * What nodes have in a room that nobody of this node is in, where that is not told anyway.
   *
   * @throws Refusal `broker_unavailable`, by its own deadline
   */
  read?(room: string): Promise<readonly (readonly [node: string, shares: readonly Share[]])[]>;
}

export type MaybePromise<T> = T | Promise<T>;

/**
 * A `signal` is that of a call until it is answered. A call that is answered at once leaves it as it was: the
 * next one may be given the same.
 */
export interface Broker {
  /** Where publications go; this and the next three are set once, before the first subscription. */
  onDeliver(deliver: (publication: Publication) => void): void;
  /**
   * The numbering of a room has gone on at `position`, in another epoch than before. `was` is the
   * end of the old one as far as it was delivered or told here; what followed it there is unknown.
   */
  onReset(reset: (room: string, position: Position, was: Position) => void): void;
  /**
   * Everything of the room up to `to`, in the present epoch, that has not been delivered will not be;
   * `reason` is `broker` unless it is said.
   */
  onLost(lost: (room: string, to: number, reason?: LossReason) => void): void;
  /**
   * How many members of this node are in a room, for brokers that bring rooms up one after the other: the largest
   * come first. Once, as those before.
   */
  measureRooms?(sizeOf: (room: string) => number): void;
  /** The state of the broker as a whole has changed. */
  onState(changed: (state: BrokerState) => void): void;
  /** As it is now: of the part a room is at, or of the whole. */
  state(room?: string): BrokerState;
  /**
   * Resolves only when the publication has its place in the order. A rejection says that nobody has
   * seen it and nobody will, unless it is the Refusal `broker_uncertain`: then it may have been
   * published, once.
   */
  publish(room: string, payload: Payload, options: PublishOptions): MaybePromise<Position>;
  /**
   * Delivery begins after the returned position, perhaps before the answer has arrived. With `since`
   * the node has had everything up to there: what followed is delivered first if the broker still has
   * it, else told by `onLost` or `onReset`. When `signal` aborts before the answer, nobody waits any
   * more and the broker undoes the subscription.
   */
  subscribe(room: string, signal: AbortSignal, since?: Position): MaybePromise<Position>;
  /** When `signal` aborts, nobody waits any more; it is carried out all the same, or not at all. */
  unsubscribe(room: string, signal: AbortSignal): MaybePromise<void>;
  /**
   * Resolves when everything of a subscribed room that was published before is delivered or told here:
   * for brokers with several nodes, of which another may be further. When `signal` aborts, nobody waits.
   */
  settled?(room: string, signal: AbortSignal): MaybePromise<void>;
  /**
   * What of the range the broker has, for brokers that keep any: rising, without a hole from
   * `max(from, oldest)` on, at least one if there is one, byte for byte as it was delivered, never
   * beyond `seq`, all of `epoch`. A publication is there before it is delivered. A room it knows
   * nothing of, or keeps nothing of, answers an empty `publications`.
   */
  history?(room: string, range: Range, signal: AbortSignal): MaybePromise<Past>;
  /**
   * Everything of the room up to `through` is kept no longer; its numbers and its epoch stay. For
   * brokers that have `history`.
   */
  purge?(room: string, through: number, signal: AbortSignal): MaybePromise<void>;
  /** How long a message takes to the broker and back to this node now, in milliseconds, where that is known. */
  readonly lagMs?: number;
  /** Who is in rooms at other nodes, for brokers that have such. */
  readonly board?: Board;
  /** Settles when what is under way is settled and nothing of the broker is left open. */
  close(): MaybePromise<void>;
}
