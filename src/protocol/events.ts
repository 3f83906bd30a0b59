/** What the server tells a client: replies, and what happens in the rooms it has joined. */
import type { RefusalCode } from '../errors.js';
import type { CommandId } from './fields.js';

export const PROTOCOL_VERSION = 1;

/**
 * What this server understands beyond version 1 as it first was, where a client could not tell
 * otherwise: fields that a server does not know are ignored.
 */
export type Feature = 'since' | 'uid' | 'history' | 'auth' | 'presence';

/**
 * Why a member did not get messages. `overflow`: it did not read fast enough. `conflated`: newer ones
 * of their keys took their places. `broker`: the broker lost them. `node`: this server did, since more
 * came than it could fan out. `expired`: they are no longer kept. `left`: it left the room, or was made
 * to, with them still queued.
 */
export type GapReason = 'overflow' | 'conflated' | 'broker' | 'node' | 'expired' | 'left';

/** How far a member is behind; `evicted` is told by `closing`. */
export type HealthState = 'healthy' | 'lagging' | 'shedding';

/** A place in a room's history. */
export interface Position {
  readonly seq: number;
  readonly epoch: string;
}

/** A message without the words around it, as pages of the past have it too. */
export interface Core {
  readonly seq: number;
  /** Id of the publishing member, or null for the HTTP API. */
  readonly from: string | null;
  /** The user behind it, where one is known. */
  readonly user?: string | undefined;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** JSON text. */
  readonly data: string;
  readonly key?: string | undefined;
}

export interface MessageEvent extends Core {
  readonly room: string;
  /** What it is called, for codecs whose messages have names. */
  readonly event?: string | undefined;
}

/** Messages of the past, rising; none is twice in the pages of a request. */
export interface PastEvent {
  /** Of the request they were asked for with. */
  readonly id: CommandId | undefined;
  readonly room: string;
  readonly epoch: string;
  readonly messages: readonly Core[];
}

/**
 * What became of the position, or the wish for the last few messages, that a join came with.
 * `complete`: all there is follows. `partial`: some of it is gone, which gaps will name.
 * `epoch_changed`: the position is of another epoch; `ahead`: it lies beyond the room. With the last
 * two nothing follows, and what the member knows of the room is to be loaded anew.
 */
export interface Recover {
  readonly result: 'complete' | 'partial' | 'epoch_changed' | 'ahead';
  /** Each number from here to `to` follows, in a message or in a gap; absent where there is none. */
  readonly from?: number | undefined;
  readonly to?: number | undefined;
}

/** One user in a room. */
export interface Present {
  readonly user: string;
  /** Milliseconds since 1970. */
  readonly since: number;
  /** What its token says of it, any JSON. */
  readonly info?: unknown;
}

/** `connections` are those of users; `anonymous` are in none of the others. */
export interface PresenceCounts {
  readonly users: number;
  readonly connections: number;
  readonly anonymous: number;
}

type Reply = { readonly id?: CommandId | undefined };

export type Event =
  | {
      type: 'welcome';
      version: typeof PROTOCOL_VERSION;
      member: string;
      heartbeatMs: number;
      limits: Record<string, number>;
      features: readonly Feature[];
      /** Whether a token is needed, understood, or of no use. */
      auth: 'required' | 'optional' | 'off';
    }
  | (Reply & {
      type: 'joined';
      room: string;
      seq: number;
      epoch: string;
      members: number;
      /** Where the join had `since` or `last`. */
      recover?: Recover | undefined;
      /** The broker cannot be reached: messages may be late, or lost, which will be told then. */
      stale?: true | undefined;
    })
  /** `reason` where the member did not ask for it. */
  | (Reply & { type: 'left'; room: string; reason?: 'revoked' | undefined })
  | (Reply & { type: 'published'; room: string; seq: number })
  /** Without times: as long as the connection. */
  | (Reply & {
      type: 'authenticated';
      user: string;
      expiresInMs?: number | undefined;
      refreshInMs?: number | undefined;
    })
  /**
   * Behind its pages, with the range that was looked at; `missing` are ranges that are no longer kept, and
   * `next` is the first number that was not looked at, where it was cut off.
   */
  | (Reply & {
      type: 'history';
      room: string;
      epoch: string;
      from: number;
      to: number;
      count: number;
      missing: readonly (readonly [from: number, to: number])[];
      next?: number | undefined;
    })
  | (Reply & { type: 'pong' })
  | (Reply & { type: 'error'; code: RefusalCode; message: string })
  /** Messages `from` to `to`, both included, will not come. */
  | { type: 'gap'; room: string; from: number; to: number; count: number; reason: GapReason }
  /** The numbering goes on after `seq` of another epoch; what followed `was` in the old one is unknown. */
  | { type: 'reset'; room: string; epoch: string; seq: number; was: Position }
  /** Whether the broker can be reached; of all rooms at once. */
  | { type: 'broker'; state: 'up' | 'suspended' }
  | {
      type: 'health';
      state: HealthState;
      queued: { messages: number; bytes: number };
      evictAfterMs?: number | undefined;
    }
  /** The token ends then; another is to be sent. */
  | { type: 'expiring'; inMs: number }
  /** Who is in a room, in pages of one `rev`. */
  | {
      type: 'presence';
      room: string;
      rev: number;
      mode: 'users';
      users: readonly Present[];
      counts: PresenceCounts;
      done: boolean;
    }
  | { type: 'presence'; room: string; rev: number; mode: 'count'; counts: PresenceCounts }
  /** The member may not see that any more, and is told nothing more of it. */
  | { type: 'presence'; room: string; mode: 'off' }
  /** What has changed since `after`; `joined` also has those whose `info` has changed. */
  | {
      type: 'presence_diff';
      room: string;
      after: number;
      rev: number;
      joined: readonly Present[];
      left: readonly string[];
      counts: PresenceCounts;
    }
  | { type: 'closing'; code: number; reason: string; retryAfterMs?: number | undefined };
