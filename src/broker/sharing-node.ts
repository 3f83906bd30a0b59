/**
 * A node as those who share its rooms know it. Apart from the broker that tells of it, so that who shows it, and an app that
 * compiles against that, need no library of a broker.
 */

/** How long a node is taken to be there after it last said so, in milliseconds. */
export const LEASE_MS = 15_000;

/** What a node says of itself. */
export interface NodeFacts {
  /** Its machine and the process that was started there. */
  readonly server: string;
  /** Of several workers of a server each is a node; null where it is the only one. */
  readonly slot: number | null;
  readonly version: string;
  readonly upMs: number;
  readonly members: number;
}

export interface SharingNode extends NodeFacts {
  readonly node: string;
  /** How long ago it said so. */
  readonly heardMs: number;
}
