/**
 * Hooks through which rooms report the path of a message to the tracer (`tracing.ts`). Without a tracer
 * nothing is created for it.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { MaybePromise, Position } from '../broker/broker.js';

/** Maximum traced messages of a flush that are linked. */
export const MAX_LINKS = 128;

/** Ends the span that `deliver` began. */
export type Delivered = () => void;

export interface Trace {
  /**
   * Publishes by calling `send` with the `traceparent` to attach to the message, or undefined if the
   * trace is not recorded. `headers` are those of the HTTP request that carried the publish, if one did.
   */
  publish(
    room: string,
    headers: IncomingHttpHeaders | undefined,
    send: (traceparent: string | undefined) => MaybePromise<Position>,
  ): MaybePromise<Position>;
  /**
   * A flush of `messages` messages to `members` members begins. `traceparents` are those of the recorded
   * messages, at least one and at most `MAX_LINKS`.
   */
  deliver(
    room: string,
    traceparents: readonly string[],
    messages: number,
    members: number,
  ): Delivered;
}
