/**
 * What a server tells the live page: the events of the stream `GET /v1/live`, one `hello`, then one
 * `second` about every second. Read by both ends, so it runs in a browser and imports nothing.
 */

/** For how many seconds a server remembers, and the page shows. */
export const REMEMBERED = 900;

/** The numbers of every second, by name; those of locks follow, as `hello.series` says. */
export const SERIES = [
  'members',
  'slowMembers',
  'rooms',
  'publishedPerSecond',
  'deliveredPerSecond',
  'droppedPerSecond',
  'evictedPerSecond',
  /** Seconds from publish to kernel, of what was delivered in this second; null without any. */
  'healthyP50',
  'healthyP99',
  'slowP99',
  'queueBytes',
  /** Seconds that the event loop was late. */
  'loopP99',
  'loopMax',
  /** Cores in use. */
  'cpu',
  'residentBytes',
] as const;

/** Seconds: `hold room.members` is the p99 of its holds that ended in this second, `wait …` likewise. */
export type LockSeries = `${'hold' | 'wait'} ${string}`;
export type Series = (typeof SERIES)[number] | LockSeries;

/** One number a series, in the order of `hello.series`; null for a quantile of nothing. */
export type Values = readonly (number | null)[];

export interface Hello {
  /** Of roomcast and of Node. */
  readonly version: string;
  readonly node: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** Bytes that all queues together may hold. */
  readonly queueLimitBytes: number;
  /** Names of the classes of locks. */
  readonly locks: readonly string[];
  readonly series: readonly Series[];
  /** What the server remembers, the oldest first. `at`: milliseconds since 1970. */
  readonly past: readonly { readonly at: number; readonly values: Values }[];
}

export interface Second {
  readonly at: number;
  readonly values: Values;
  /** Those furthest behind, then others; `total` counts all. */
  readonly members: { readonly total: number; readonly list: readonly MemberLine[] };
  /** The largest. */
  readonly rooms: { readonly total: number; readonly list: readonly RoomLine[] };
}

export interface MemberLine {
  readonly id: string;
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
