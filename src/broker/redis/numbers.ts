/** The numbers of the broker over Redis: what is kept of a room, and what is counted for the log and the metrics. */

/** How much of a room Redis keeps. */
export interface Kept {
  readonly messages: number;
  readonly ms: number;
  /** Of commits; 0: as many as the messages have. */
  readonly bytes: number;
}

/** What has happened since the start. */
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

/** How it is doing now. */
export interface RedisLoad {
  /** Publications without an answer, and bytes of them, and how many there may be. */
  readonly unsettled: number;
  readonly unsettledMax: number;
  readonly unsettledBytes: number;
  readonly unsettledLimitBytes: number;
  /** Rooms somebody is in that pass nothing on. */
  readonly suspendedRooms: number;
  /** How long a message takes to Redis and back; 0 while there is no link. */
  readonly lagMs: number;
}
