/** The events a server sends to a client: replies, and events of the rooms it has joined. */
import type { RefusalCode } from '../errors.js';
import type { CommandId } from './fields.js';

export const PROTOCOL_VERSION = 1;

/**
 * Features added to version 1 of the protocol. A client needs this list, since servers ignore fields
 * they do not know.
 */
export type Feature = 'since' | 'uid' | 'history' | 'auth' | 'presence';

/**
 * Why a member did not receive messages. `overflow`: it read too slowly. `conflated`: newer messages
 * with the same key replaced them. `broker`: the broker lost them. `node`: this node dropped them, since
 * more arrived than it could fan out. `expired`: they are no longer kept. `left`: it left the room, or
 * was removed from it, while they were queued.
 */
export type GapReason = 'overflow' | 'conflated' | 'broker' | 'node' | 'expired' | 'left';

/** Health of a member; an eviction is announced by `closing`. */
export type HealthState = 'healthy' | 'lagging' | 'shedding';

/** A position in a room's history. */
export interface Position {
  readonly seq: number;
  readonly epoch: string;
}

/** The fields of a message that pages of history have too. */
export interface Core {
  readonly seq: number;
  /** Id of the publishing member, or null for the HTTP API. */
  readonly from: string | null;
  /** User of the publisher, if authenticated. */
  readonly user?: string | undefined;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** JSON text. */
  readonly data: string;
  readonly key?: string | undefined;
}

export interface MessageEvent extends Core {
  readonly room: string;
  /** Event name, for codecs whose messages have names. */
  readonly event?: string | undefined;
}

/** A page of past messages, in rising order; no message appears twice in the pages of a request. */
export interface PastEvent {
  /** Id of the `history` request. */
  readonly id: CommandId | undefined;
  readonly room: string;
  readonly epoch: string;
  readonly messages: readonly Core[];
}

/**
 * Result of a join's `since` or `last`. `complete`: all messages follow. `partial`: some are no longer
 * kept, and gaps will name them. `epoch_changed`: the position is of another epoch. `ahead`: it lies
 * beyond the room. After the last two nothing follows, and the client has to reload what it knows of the
 * room.
 */
export interface Recover {
  readonly result: 'complete' | 'partial' | 'epoch_changed' | 'ahead';
  /** Every number from here to `to` follows, in a message or a gap; absent if there is none. */
  readonly from?: number | undefined;
  readonly to?: number | undefined;
}

/** One user in a room. */
export interface Present {
  readonly user: string;
  /** Milliseconds since 1970. */
  readonly since: number;
  /** Info from the user's token, any JSON. */
  readonly info?: unknown;
}

/** `connections` counts those of users; `anonymous` connections are in none of the other counts. */
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
      /** Whether a token is required, optional or ignored. */
      auth: 'required' | 'optional' | 'off';
    }
  | (Reply & {
      type: 'joined';
      room: string;
      seq: number;
      epoch: string;
      members: number;
      /** Present if the join had `since` or `last`. */
      recover?: Recover | undefined;
      /** The broker cannot be reached: messages may be late or lost; a loss will be announced. */
      stale?: true | undefined;
    })
  /** `reason` is present if the member did not ask to leave. */
  | (Reply & { type: 'left'; room: string; reason?: 'revoked' | undefined })
  | (Reply & { type: 'published'; room: string; seq: number })
  /** Without times the token does not expire. */
  | (Reply & {
      type: 'authenticated';
      user: string;
      expiresInMs?: number | undefined;
      refreshInMs?: number | undefined;
    })
  /**
   * Follows the pages of a request and names the range that was read. `missing` are ranges no longer
   * kept; `next` is the first number not read, if the request was cut off.
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
  /** Messages `from` to `to`, both included, will not arrive. */
  | { type: 'gap'; room: string; from: number; to: number; count: number; reason: GapReason }
  /**
   * The numbering continues after `seq` of a new epoch. What followed `was` in the old epoch is unknown.
   */
  | { type: 'reset'; room: string; epoch: string; seq: number; was: Position }
  /** Whether the broker can be reached; applies to all rooms. */
  | { type: 'broker'; state: 'up' | 'suspended' }
  | {
      type: 'health';
      state: HealthState;
      queued: { messages: number; bytes: number };
      evictAfterMs?: number | undefined;
    }
  /** The token expires in `inMs`; the client should send another. */
  | { type: 'expiring'; inMs: number }
  /** The presence list of a room, in pages of one `rev`. */
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
  /** The member lost the `presence` right and gets no more presence of the room. */
  | { type: 'presence'; room: string; mode: 'off' }
  /** Changes since `after`; `joined` also has users whose `info` changed. */
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
