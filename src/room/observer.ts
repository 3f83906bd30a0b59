/**
 * What the core tells whoever counts. Calls are made once a batch or a slice, never once a
 * delivery, so that an implementation may cost a few tens of nanoseconds without showing.
 * Counts obey V10: fanned out = delivered + dropped + abandoned + still queued.
 */
import type { CallObserver } from '../broker/calls.js';
import type { EndReason, RefusalCode } from '../errors.js';

/** Why a message was dropped from a member's queue: the policy that did it. */
export const DROP_REASONS = ['drop-oldest', 'drop-newest', 'conflated', 'disconnect'] as const;
export type DropReason = (typeof DROP_REASONS)[number];

/**
 * Why a socket was ended before it was a member's: all places are taken, its address has its share,
 * the system refused to accept it, or a trusted proxy has not said from whom it is.
 */
export const SOCKET_REFUSALS = ['full', 'address', 'machine', 'proxy'] as const;
export type SocketRefusal = (typeof SOCKET_REFUSALS)[number];

/** What a position, or a wish for the last few messages, has come to. */
export const RECOVERIES = ['complete', 'partial', 'epoch_changed', 'ahead'] as const;
export type Recovery = (typeof RECOVERIES)[number];

/** Where an error came from that was thrown and ended nothing. */
export const ERROR_SOURCES = ['callback', 'session', 'log'] as const;
export type ErrorSource = (typeof ERROR_SOURCES)[number];

/** Why a member reads messages of before: it has come back, or it has asked. */
export const REPLAYS = ['join', 'request'] as const;
export type ReplayKind = (typeof REPLAYS)[number];

/** What became of a message that a member was to read again. */
export const REPLAYED = ['sent', 'expired', 'abandoned'] as const;
export type Replayed = (typeof REPLAYED)[number];

/** What became of a user in a room whose members may be told; `returned`: nobody was told of a reload. */
export const PRESENCE_CHANGES = ['joined', 'left', 'returned'] as const;
export type PresenceChange = (typeof PRESENCE_CHANGES)[number];

/** What a watcher of a room is told: a page of the list, a difference to what it knows, or numbers alone. */
export const PRESENCE_FRAMES = ['list', 'diff', 'count'] as const;
export type PresenceFrame = (typeof PRESENCE_FRAMES)[number];

export interface Observer extends CallObserver {
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
  /** A join with a position, or with a wish for the last few messages, was answered so. */
  recovered(result: Recovery): void;
  /**
   * `count` messages of before that a member was to get: they are no part of the above. `sent` is told
   * once a batch.
   */
  replayed(how: ReplayKind, result: Replayed, count: number): void;
  presenceChanged(change: PresenceChange): void;
  /** A watcher of a room is told something of so many bytes. */
  presenceShown(kind: PresenceFrame, bytes: number): void;
  /** `count` messages of a room have not come from the broker, and will not. */
  brokerLost(count: number): void;
  /** The numbering of a room that somebody is in has gone on in another epoch. */
  brokerReset(): void;
}
