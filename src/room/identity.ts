/**
 * A member's identity as far as rooms need it: a user and its permissions. V15: `may` is synchronous, so
 * it can be checked in the same step as the action it permits.
 *
 * Not here: where identities come from (`auth/`).
 */

/** Actions that can be permitted in a room. */
export const ACTIONS = ['join', 'publish', 'history', 'presence'] as const;
export type Action = (typeof ACTIONS)[number];

/** Public info about a user. */
export interface Info {
  /** Any JSON. */
  readonly value: unknown;
  readonly text: string;
}

export interface Identity {
  /** Null for an anonymous connection. */
  readonly user: string | null;
  readonly info?: Info | undefined;
  /** Must not throw. */
  may(action: Action, room: string): boolean;
}

/** The identity where authentication is off: anonymous, with all permissions. */
export const ANYONE: Identity = { user: null, may: () => true };
