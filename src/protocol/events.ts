/** What the server tells a client: replies, and what happens in the rooms it has joined. */
import type { RefusalCode } from '../errors.js';
import type { CommandId } from './fields.js';

export const PROTOCOL_VERSION = 1;

/**
 * What this server understands beyond version 1 as it first was, where a client could not tell
 * otherwise: fields that a server does not know are ignored.
 */
export type Feature = 'uid';

/** Why a member did not get messages. `left`: it left the room with them still queued. */
export type GapReason = 'overflow' | 'conflated' | 'broker' | 'left';

/** How far a member is behind; `evicted` is told by `closing`. */
export type HealthState = 'healthy' | 'lagging' | 'shedding';

export interface MessageEvent {
  readonly room: string;
  readonly seq: number;
  /** Id of the publishing member, or null for the HTTP API. */
  readonly from: string | null;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** JSON text. */
  readonly data: string;
  readonly key?: string | undefined;
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
      /** Whether a token is needed: this server knows none. */
      auth: 'off';
    }
  | (Reply & { type: 'joined'; room: string; seq: number; epoch: string; members: number })
  | (Reply & { type: 'left'; room: string })
  | (Reply & { type: 'published'; room: string; seq: number })
  | (Reply & { type: 'pong' })
  | (Reply & { type: 'error'; code: RefusalCode; message: string })
  /** Messages `from` to `to`, both included, will not come. */
  | { type: 'gap'; room: string; from: number; to: number; count: number; reason: GapReason }
  | {
      type: 'health';
      state: HealthState;
      queued: { messages: number; bytes: number };
      evictAfterMs?: number | undefined;
    }
  | { type: 'closing'; code: number; reason: string; retryAfterMs?: number | undefined };
