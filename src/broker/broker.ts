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

export type MaybePromise<T> = T | Promise<T>;

export interface Broker {
  /** Where publications go; this and the next three are set once, before the first subscription. */
  onDeliver(deliver: (publication: Publication) => void): void;
  /**
   * The numbering of a room has gone on at `position`, in another epoch than before. `was` is the
   * end of the old one as far as it was delivered or told here; what followed it there is unknown.
   */
  onReset(reset: (room: string, position: Position, was: Position) => void): void;
  /** Everything of the room up to `to`, in the present epoch, that has not been delivered will not be. */
  onLost(lost: (room: string, to: number) => void): void;
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
   * What of the range the broker has, for brokers that keep any: rising, without a hole from
   * `max(from, oldest)` on, at least one if there is one, byte for byte as it was delivered, never
   * beyond `seq`, all of `epoch`. A publication is there before it is delivered. A room it knows
   * nothing of, or keeps nothing of, answers an empty `publications`.
   */
  history?(room: string, range: Range, signal: AbortSignal): MaybePromise<Past>;
  /** Settles when what is under way is settled and nothing of the broker is left open. */
  close(): MaybePromise<void>;
}
