/**
 * A node as those who share its rooms know it. Types alone: an app compiles against them without the library
 * that a broker may need.
 */

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
