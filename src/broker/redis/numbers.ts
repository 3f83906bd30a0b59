/**
 * Figures of the Redis broker: how much of a room is kept, and counts and gauges for the log and the
 * metrics.
 */

/** How much of a room Redis keeps. */
export interface Kept {
  readonly messages: number;
  readonly ms: number;
  /** Bytes of commits; 0: no bound. */
  readonly bytes: number;
}

/** Counts since the start. */
export interface RedisCounts {
  links: number;
  uncertain: number;
  duplicates: number;
  backfilled: number;
  lost: number;
  resets: number;
  unreadable: number;
}

export const NONE: RedisCounts = {
  links: 0,
  uncertain: 0,
  duplicates: 0,
  backfilled: 0,
  lost: 0,
  resets: 0,
  unreadable: 0,
};

/** Current gauges. */
export interface RedisLoad {
  /** Unanswered publications and their bytes, each with its limit. */
  readonly unsettled: number;
  readonly unsettledMax: number;
  readonly unsettledBytes: number;
  readonly unsettledLimitBytes: number;
  /** Rooms with members here that are suspended. */
  readonly suspendedRooms: number;
  /** Round trip to Redis in milliseconds; 0 without a link. */
  readonly lagMs: number;
}
