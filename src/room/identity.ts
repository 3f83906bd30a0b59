/**
 * Who a member is, as far as rooms have to know: a user, and what it may. V15: `may` is synchronous, so
 * that it can be asked in the same step in which something is done for the member.
 *
 * Not here: where both come from (`auth/`).
 */

/** What can be allowed in a room. */
export const ACTIONS = ['join', 'publish', 'history', 'presence'] as const;
export type Action = (typeof ACTIONS)[number];

/** What is shown of a user. */
export interface Info {
  /** Any JSON. */
  readonly value: unknown;
  readonly text: string;
}

export interface Identity {
  /** Null: nobody in particular. */
  readonly user: string | null;
  readonly info?: Info | undefined;
  /** Must not throw. */
  may(action: Action, room: string): boolean;
}

/** Nobody has to say who they are, and everybody may do everything. */
export const ANYONE: Identity = { user: null, may: () => true };
