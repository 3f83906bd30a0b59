/**
 * Frames of protocol v1 as the client uses them. Repeated here so that the package has no types of the
 * server; `test/client/wire.test.ts` compares them with the server's.
 */
/** Features that a server may have beyond the first version of the protocol. */
export type Feature = 'since' | 'uid' | 'history' | 'auth' | 'presence';

/** How far the connection is behind. */
export type HealthState = 'healthy' | 'lagging' | 'shedding';

/** A position in a room's history. A sequence number is only meaningful within its epoch. */
export interface Position {
  readonly seq: number;
  readonly epoch: string;
}

export interface Core {
  readonly seq: number;
  readonly from: string | null;
  readonly user?: string | undefined;
  readonly at: number;
  readonly data: unknown;
  readonly key?: string | undefined;
}

/** A user present in a room. */
export interface Present {
  readonly user: string;
  /** Milliseconds since 1970, by the server's clock. */
  readonly since: number;
  /** Extra data about the user, from the token or the server's own authentication. */
  readonly info?: unknown;
}

/** `connections` counts connections of users. `anonymous` connections are in neither of the others. */
export interface PresenceCounts {
  readonly users: number;
  readonly connections: number;
  readonly anonymous: number;
}

interface Reply {
  readonly id?: number | string | undefined;
}

interface WireGap {
  readonly type: 'gap';
  readonly room: string;
  readonly from: number;
  readonly to: number;
  readonly count: number;
  readonly reason: 'overflow' | 'conflated' | 'broker' | 'node' | 'expired' | 'left';
}

export interface WireJoined extends Reply {
  readonly type: 'joined';
  readonly room: string;
  readonly seq: number;
  readonly epoch: string;
  readonly members: number;
  readonly recover?:
    | {
        readonly result: 'complete' | 'partial' | 'epoch_changed' | 'ahead';
        readonly from?: number | undefined;
        readonly to?: number | undefined;
      }
    | undefined;
}

interface WireError extends Reply {
  readonly type: 'error';
  readonly code: string;
  readonly message: string;
}

interface WireHistory extends Reply {
  readonly type: 'history';
  readonly room: string;
  readonly epoch: string;
  readonly from: number;
  readonly to: number;
  readonly count: number;
  readonly missing: readonly (readonly [from: number, to: number])[];
  readonly next?: number | undefined;
}

interface WirePast extends Reply {
  readonly type: 'past';
  readonly room: string;
  readonly epoch: string;
  readonly messages: readonly Core[];
}

interface WireReset {
  readonly type: 'reset';
  readonly room: string;
  readonly epoch: string;
  readonly seq: number;
  readonly was: Position;
}

export interface Welcome {
  readonly type: 'welcome';
  readonly version: number;
  readonly member: string;
  readonly heartbeatMs: number;
  readonly limits: Readonly<Record<string, number>>;
  readonly features: readonly Feature[];
  readonly auth: 'required' | 'optional' | 'off';
}

export interface Closing {
  readonly type: 'closing';
  readonly code: number;
  readonly reason: string;
  readonly retryAfterMs?: number | undefined;
}

/** Frames the server sends. */
export type Frame =
  | Welcome
  | WireJoined
  | (Reply & {
      readonly type: 'left';
      readonly room: string;
      readonly reason?: 'revoked' | undefined;
    })
  | (Reply & { readonly type: 'published'; readonly room: string; readonly seq: number })
  | (Reply & {
      readonly type: 'authenticated';
      readonly user: string;
      /** Absent: the token lasts as long as the connection. */
      readonly expiresInMs?: number | undefined;
      readonly refreshInMs?: number | undefined;
    })
  | WireHistory
  | WirePast
  | (Reply & { readonly type: 'pong' })
  | WireError
  | (Core & { readonly type: 'message'; readonly room: string })
  | WireGap
  | WireReset
  | { readonly type: 'broker'; readonly state: 'up' | 'suspended' }
  | {
      readonly type: 'health';
      readonly state: HealthState;
      readonly queued: { readonly messages: number; readonly bytes: number };
      readonly evictAfterMs?: number | undefined;
    }
  | {
      readonly type: 'presence';
      readonly room: string;
      readonly rev: number;
      readonly mode: 'users';
      readonly users: readonly Present[];
      readonly counts: PresenceCounts;
      readonly done: boolean;
    }
  | {
      readonly type: 'presence';
      readonly room: string;
      readonly rev: number;
      readonly mode: 'count';
      readonly counts: PresenceCounts;
    }
  | { readonly type: 'presence'; readonly room: string; readonly mode: 'off' }
  | {
      readonly type: 'presence_diff';
      readonly room: string;
      readonly after: number;
      readonly rev: number;
      readonly joined: readonly Present[];
      readonly left: readonly string[];
      readonly counts: PresenceCounts;
    }
  | { readonly type: 'expiring'; readonly inMs: number }
  | Closing;

/** Commands the client sends, without `id`. */
export type Command =
  | { readonly type: 'auth'; readonly token: string }
  | {
      readonly type: 'join';
      readonly room: string;
      readonly since?: Position;
      readonly presence?: boolean;
    }
  | { readonly type: 'leave'; readonly room: string }
  | {
      readonly type: 'publish';
      readonly room: string;
      readonly data: unknown;
      readonly key?: string;
      readonly uid?: string;
    }
  | {
      readonly type: 'history';
      readonly room: string;
      readonly epoch: string;
      readonly from: number;
      readonly to: number;
    }
  | { readonly type: 'ping' };
