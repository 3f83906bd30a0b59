/**
 * What a server tells the live page: the events of the stream `GET /v1/live`, one `hello`, then one
 * `second` about every second. Read by both ends, so it runs in a browser and imports nothing.
 */

/** For how many seconds a server remembers, and the page shows. */
export const REMEMBERED = 900;

/** The numbers of every second, by name; those of locks and of reasons follow, as `hello.series` says. */
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
  /** Users that are connected, and members that are told who is in a room. */
  'users',
  'watchers',
  /** Bytes that rooms keep of their past in this process. */
  'historyBytes',
  /** Joins with a position, and messages of before that members were sent. */
  'recoveriesPerSecond',
  'readAgainPerSecond',
  /** Members on their way through what they have missed, or asked for. */
  'readingAgain',
] as const;

/** Seconds: `hold room.members` is the p99 of its holds that ended in this second, `wait …` likewise. */
export type LockSeries = `${'hold' | 'wait'} ${string}`;
/** Messages a second: `drop conflated` is how many were dropped for that reason. */
export type DropSeries = `drop ${string}`;
export type Series = (typeof SERIES)[number] | LockSeries | DropSeries;

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
  /** Bytes that rooms may keep in this process; 0 where the broker keeps them elsewhere. */
  readonly historyLimitBytes: number;
  /** What is switched on, so that there is something to show of it. */
  readonly has: {
    readonly users: boolean;
    readonly presence: boolean;
    readonly history: boolean;
    /** A broker that may not be reached. */
    readonly network: boolean;
  };
  /** Names of the classes of locks. */
  readonly locks: readonly string[];
  readonly series: readonly Series[];
  /** What the server remembers, the oldest first. `at`: milliseconds since 1970. */
  readonly past: readonly { readonly at: number; readonly values: Values }[];
}

export interface Second {
  readonly at: number;
  readonly broker: 'up' | 'suspended' | 'down';
  readonly values: Values;
  /** Those furthest behind, then others; `total` counts all. */
  readonly members: { readonly total: number; readonly list: readonly MemberLine[] };
  /** The largest. */
  readonly rooms: { readonly total: number; readonly list: readonly RoomLine[] };
  /** By slot; one alone where there is one process. */
  readonly workers: readonly WorkerLine[];
  /** Null while the broker cannot be asked; empty where it is in this process. */
  readonly servers: readonly ServerLine[] | null;
}

/** One of those that share rooms over a broker on a network, with its workers. */
export interface ServerLine {
  /** Its machine and the process that was started there. */
  readonly server: string;
  /** Processes of it that are heard, and that have ended without a word. */
  readonly workers: number;
  readonly missing: number;
  readonly members: number;
  readonly version: string;
  /** Null where none of it is heard. */
  readonly upMs: number | null;
  readonly heardMs: number;
}

/** One process of those that share the address. */
export interface WorkerLine {
  readonly slot: number;
  /** Null, as what follows, where it has not answered: it is missing, or stands still. */
  readonly pid: number | null;
  readonly members: number | null;
  /** That it orders; with one process all there are. */
  readonly rooms: number | null;
  readonly broker: Second['broker'] | null;
}

export interface MemberLine {
  readonly id: string;
  /** Null for nobody in particular. */
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
