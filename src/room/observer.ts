/**
 * What the core tells whoever counts. Calls are made once a batch or a slice, never once a
 * delivery, so that an implementation may cost a few tens of nanoseconds without showing.
 * Counts obey V10: fanned out = delivered + dropped + abandoned + still queued.
 */
import type { EndReason, RefusalCode } from '../errors.js';

/** Why a message was dropped from a member's queue: the policy that did it. */
export const DROP_REASONS = ['drop-oldest', 'drop-newest', 'conflated', 'disconnect'] as const;
export type DropReason = (typeof DROP_REASONS)[number];

/**
 * Why a socket was ended before it was a member's: all places are taken, its address has its share,
 * or the system refused to accept it.
 */
export const SOCKET_REFUSALS = ['full', 'address', 'machine'] as const;
export type SocketRefusal = (typeof SOCKET_REFUSALS)[number];

export interface Observer {
  /** One publication accepted by the broker and delivered to this node. */
  published(): void;
  /** `count` messages offered to members: each from now on is delivered, dropped, abandoned or queued. */
  fannedOut(count: number): void;
  /**
   * `count` deliveries, each `seconds` after its publish was accepted, complete with the kernel.
   * `transport` is an index of `TRANSPORTS`; `slow` when the member was not healthy at that time.
   */
  delivered(transport: number, slow: boolean, seconds: number, count: number): void;
  /** `count` messages waited `seconds` before they were handed to the transport. */
  queueWaited(transport: number, slow: boolean, seconds: number, count: number): void;
  dropped(reason: DropReason, count: number): void;
  /** Messages that were queued, or in flight, when their member left the room or went away. */
  abandoned(count: number): void;
  sentBytes(transport: number, bytes: number): void;
  opened(transport: number): void;
  closed(transport: number, reason: EndReason): void;
  evicted(reason: EndReason): void;
  /** A flush run of the fan-out loop took this long before it yielded or was done. */
  flushed(seconds: number): void;
  roundTrip(transport: number, seconds: number): void;
  refused(code: RefusalCode): void;
  socketRefused(reason: SocketRefusal): void;
}
