/**
 * Events of the stream `GET /v1/live`, which the live page reads: one `hello`, then one `second` about
 * every second. Used by the server and the browser, so it imports nothing.
 */

/** Seconds of history that the server keeps and the page shows. */
export const REMEMBERED = 900;

/** The fixed series. The series of locks and of drop reasons follow them in `hello.series`. */
export const SERIES = [
  'members',
  'slowMembers',
  'rooms',
  'publishedPerSecond',
  'deliveredPerSecond',
  'droppedPerSecond',
  'evictedPerSecond',
  /** Seconds from the publish to the kernel, for the deliveries of this second; null without any. */
  'healthyP50',
  'healthyP99',
  'slowP99',
  'queueBytes',
  /** Event loop delay, in seconds. */
  'loopP99',
  'loopMax',
  /** CPU cores in use. */
  'cpu',
  'residentBytes',
  /** Connected users; members that watch the presence of a room. */
  'users',
  'watchers',
  /** Bytes of room history in this process. */
  'historyBytes',
  /** Joins with a position; messages replayed from the history. */
  'recoveriesPerSecond',
  'readAgainPerSecond',
  /** Members with a replay or a history request in progress. */
  'readingAgain',
] as const;

/**
 * Seconds: `hold room.members` is the p99 of the holds that ended in this second; `wait …` likewise for
 * waits.
 */
export type LockSeries = `${'hold' | 'wait'} ${string}`;
/** Messages per second: `drop conflated` is the rate of messages dropped for that reason. */
export type DropSeries = `drop ${string}`;
export type Series = (typeof SERIES)[number] | LockSeries | DropSeries;

/** One value per series, in the order of `hello.series`; null for a quantile without observations. */
export type Values = readonly (number | null)[];

export interface Hello {
  /** Versions of roomcast and of Node. */
  readonly version: string;
  readonly node: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** Bytes that all queues together may hold. */
  readonly queueLimitBytes: number;
  /** Bytes of history that this process may keep; 0 if the broker keeps it elsewhere. */
  readonly historyLimitBytes: number;
  /** Features that are switched on, so that the page shows their parts. */
  readonly has: {
    readonly users: boolean;
    readonly presence: boolean;
    readonly history: boolean;
    /** The broker is on a network and may be unreachable. */
    readonly network: boolean;
  };
  /** Names of the lock classes. */
  readonly locks: readonly string[];
  readonly series: readonly Series[];
  /** The server's samples, oldest first. `at` is in milliseconds since 1970. */
  readonly past: readonly { readonly at: number; readonly values: Values }[];
}

export interface Second {
  readonly at: number;
  readonly broker: 'up' | 'suspended' | 'down';
  readonly values: Values;
  /** The members with the highest lag; `total` counts all members. */
  readonly members: { readonly total: number; readonly list: readonly MemberLine[] };
  /** The rooms with the most members; `total` counts all rooms. */
  readonly rooms: { readonly total: number; readonly list: readonly RoomLine[] };
  /** By slot; a single entry without workers. */
  readonly workers: readonly WorkerLine[];
  /** Null while the broker cannot be reached; empty if it is in this process. */
  readonly servers: readonly ServerLine[] | null;
}

/** A server that shares rooms over a network broker, with its workers. */
export interface ServerLine {
  /** Host and main process. */
  readonly server: string;
  /** Workers with a current heartbeat, and workers that ended without deregistering. */
  readonly workers: number;
  readonly missing: number;
  readonly members: number;
  readonly version: string;
  /** Null if no worker has a current heartbeat. */
  readonly upMs: number | null;
  readonly heardMs: number;
}

/** A process that shares the listening address. */
export interface WorkerLine {
  readonly slot: number;
  /** Null, like the fields below, if the worker did not answer: it is missing or blocked. */
  readonly pid: number | null;
  readonly members: number | null;
  /** Rooms that this worker owns; without workers, all rooms. */
  readonly rooms: number | null;
  readonly broker: Second['broker'] | null;
}

export interface MemberLine {
  readonly id: string;
  /** Null for an anonymous member. */
  readonly user: string | null;
  readonly transport: string;
  readonly address: string;
  readonly rooms: number;
  readonly health: 'healthy' | 'lagging' | 'shedding';
  readonly queued: { readonly messages: number; readonly bytes: number };
  /** Age of the oldest undelivered message; 0 without one. */
  readonly lagMs: number;
}

export interface RoomLine {
  readonly room: string;
  readonly members: number;
  readonly seq: number;
}
