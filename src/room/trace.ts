/**
 * What rooms tell of the way of a message, for who traces it (`tracing.ts`). Without one nothing is
 * made for it.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { MaybePromise, Position } from '../broker/broker.js';

/** Most messages of a flush that are looked at, and linked. */
export const MAX_LINKS = 128;

/** Ends what `deliver` has begun. */
export type Delivered = () => void;

export interface Trace {
  /**
   * Publishes by `send`, which is given what goes with the message: a `traceparent`, or undefined where
   * it is not recorded. `headers` are those of the request that it came with, if it was one.
   */
  publish(
    room: string,
    headers: IncomingHttpHeaders | undefined,
    send: (traceparent: string | undefined) => MaybePromise<Position>,
  ): MaybePromise<Position>;
  /**
   * Messages of a room are on their way to so many members; `traceparents` are of those that are recorded,
   * at least one and at most `MAX_LINKS`.
   */
  deliver(
    room: string,
    traceparents: readonly string[],
    messages: number,
    members: number,
  ): Delivered;
}
