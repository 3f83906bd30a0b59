/**
 * The contract of a broker: it owns the order of a room. It gives every publication its `seq` and
 * `epoch` and delivers to every subscribed node, the publisher's own included, in `seq` order, at
 * most once. A hole in what it delivers is a loss of the broker's; the room announces it.
 *
 * A broker answers at once or with a promise; it never calls `deliver` for a room that is not
 * subscribed, and `publish` resolves only after the publication has its place in the order.
 * Calls for one room are carried out in the order they were made. `epoch` of a room never changes
 * while a node is subscribed to it.
 */

/** What a publisher hands over. */
export interface Payload {
  /** JSON text, passed on as it is. */
  readonly data: string;
  /** Id of the publishing member, or null for the HTTP API. */
  readonly from: string | null;
  readonly key?: string | undefined;
}

/** A place in a room's history. `seq` counts from 1; a new `epoch` starts over. */
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
   * By `performance.now()`: after it the publisher has been told that its message may have failed, so
   * that the broker must not take it any more.
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

export type MaybePromise<T> = T | Promise<T>;

export interface Broker {
  /** Where publications go; set once, before the first subscription. */
  onDeliver(deliver: (publication: Publication) => void): void;
  /**
   * Rejects, or throws, when the broker cannot take it. Then nobody has seen it and nobody will, unless
   * it is the Refusal `broker_uncertain`: then it may have been published, once.
   */
  publish(room: string, payload: Payload, options: PublishOptions): MaybePromise<Position>;
  /**
   * Delivery begins after the returned position, perhaps before the answer has arrived. When
   * `signal` aborts before that, nobody waits any more and the broker undoes the subscription.
   */
  subscribe(room: string, signal: AbortSignal): MaybePromise<Position>;
  /** When `signal` aborts, nobody waits any more; it is carried out all the same, or not at all. */
  unsubscribe(room: string, signal: AbortSignal): MaybePromise<void>;
  /** Settles when nothing of the broker is left open. */
  close(): MaybePromise<void>;
}
