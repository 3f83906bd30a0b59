/**
 * A node as other nodes of the cluster see it. Separate from the broker, so that its consumers, and
 * apps that compile against these types, need no broker library.
 */

/** A node counts as alive for this long after its last heartbeat, in milliseconds. */
export const LEASE_MS = 15_000;

/** What a node reports about itself. */
export interface NodeFacts {
  /** Host name and pid of the process that was started there. */
  readonly server: string;
  /** Slot of the worker; each worker of a server is a node. null if the server has only one process. */
  readonly slot: number | null;
  readonly version: string;
  readonly upMs: number;
  readonly members: number;
}

export interface SharingNode extends NodeFacts {
  readonly node: string;
  /** Milliseconds since its last heartbeat. */
  readonly heardMs: number;
}
