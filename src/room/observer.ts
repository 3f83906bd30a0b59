/**
 * Interface through which the core reports to metrics. Calls are made once a batch or a slice, never
 * once a delivery, so an implementation may cost a few tens of nanoseconds. Counts obey V10: fanned out
 * = delivered + dropped + abandoned + still queued.
 */
import type { CallObserver } from '../broker/calls.js';
import type { EndReason, RefusalCode } from '../errors.js';

/** Why a message was dropped from a member's queue: the policy, or conflation. */
export const DROP_REASONS = ['drop-oldest', 'drop-newest', 'conflated', 'disconnect'] as const;
export type DropReason = (typeof DROP_REASONS)[number];

/**
 * Why a socket was closed before it became a member: the server is full, its address has too many
 * connections, the system refused to accept it, or a trusted proxy did not send the client's address.
 */
export const SOCKET_REFUSALS = ['full', 'address', 'machine', 'proxy'] as const;
export type SocketRefusal = (typeof SOCKET_REFUSALS)[number];

/** Result of a join with `since` or `last`. */
export const RECOVERIES = ['complete', 'partial', 'epoch_changed', 'ahead'] as const;
export type Recovery = (typeof RECOVERIES)[number];

/** Source of an exception that was caught. */
export const ERROR_SOURCES = ['callback', 'session', 'log'] as const;
export type ErrorSource = (typeof ERROR_SOURCES)[number];

/** Why past messages are read: for a join, or for a `history` request. */
export const REPLAYS = ['join', 'request'] as const;
export type ReplayKind = (typeof REPLAYS)[number];

/** Outcome of a past message due to a member. */
export const REPLAYED = ['sent', 'expired', 'abandoned'] as const;
export type Replayed = (typeof REPLAYED)[number];

/** Change of a user's presence; `returned`: the user came back while lingering, unseen by watchers. */
export const PRESENCE_CHANGES = ['joined', 'left', 'returned'] as const;
export type PresenceChange = (typeof PRESENCE_CHANGES)[number];

/** Kind of a presence frame: a page of the list, a diff, or counts only. */
export const PRESENCE_FRAMES = ['list', 'diff', 'count'] as const;
export type PresenceFrame = (typeof PRESENCE_FRAMES)[number];

export interface Observer extends CallObserver {
  /** One publication was accepted by the broker and delivered to this node. */
  published(): void;
  /** `count` messages were offered; each is then delivered, dropped, abandoned or still queued. */
  fannedOut(count: number): void;
  /**
   * `count` messages were taken whole by the kernel, `seconds` after their publish was accepted.
   * `transport` is an index of `TRANSPORTS`; `slow` if the member was not healthy at that time.
   */
  delivered(transport: number, slow: boolean, seconds: number, count: number): void;
  /** `count` messages waited `seconds` before they were handed to the transport. */
  queueWaited(transport: number, slow: boolean, seconds: number, count: number): void;
  dropped(reason: DropReason, count: number): void;
  /** Messages queued or in flight when their member left the room or disconnected. */
  abandoned(count: number): void;
  sentBytes(transport: number, bytes: number): void;
  opened(transport: number): void;
  closed(transport: number, reason: EndReason): void;
  evicted(reason: EndReason): void;
  /** A run of the fan-out loop took this long before it was done or yielded. */
  flushed(seconds: number): void;
  roundTrip(transport: number, seconds: number): void;
  refused(code: RefusalCode): void;
  socketRefused(reason: SocketRefusal): void;
  /** A join with `since` or `last` was answered. */
  recovered(result: Recovery): void;
  /**
   * `count` past messages due to a member, not part of the counts above. Called once a batch for `sent`.
   */
  replayed(how: ReplayKind, result: Replayed, count: number): void;
  presenceChanged(change: PresenceChange): void;
  /** A presence frame of this many bytes was handed over to a watcher. */
  presenceShown(kind: PresenceFrame, bytes: number): void;
  /** `count` messages of a room will not arrive from the broker. */
  brokerLost(count: number): void;
  /** The numbering of a room with members continues in another epoch. */
  brokerReset(): void;
}
