/**
 * The names of what roomcast keeps in Redis. All begin with the version of the format and the name of
 * the cluster, so that two clusters, or two versions, on one Redis do not hear each other: channels
 * know no database number.
 *
 * Not here: what the keys hold (`scripts.ts`), what a message says (`format.ts`).
 */

/** Of everything stored and sent; another version is another prefix. */
const FORMAT = 'rc1';

export class Keys {
  readonly #prefix: string;

  /** `cluster`: what all nodes that share rooms have in common; without `:`. */
  constructor(cluster: string) {
    this.#prefix = `${FORMAT}:${cluster}:`;
  }

  /** What all of them match. */
  get pattern(): string {
    return `${this.#prefix}*`;
  }

  /** Hash: `run` and `id` of the present term, and `by`, what its server has of the primary before it. */
  get term(): string {
    return `${this.#prefix}term`;
  }

  /** Hash of a room: epoch, number, term, closed epochs, the last commit of each node. */
  meta(room: string): string {
    return `${this.#prefix}m:${room}`;
  }

  /** Stream of a room: one entry a commit, its id the number of its last publication. */
  log(room: string): string {
    return `${this.#prefix}l:${room}`;
  }

  /** Where a room's commits are published. */
  channel(room: string): string {
    return `${this.#prefix}c:${room}`;
  }

  /** Hash of who is in a room: a field for each node and user, and `v`, which counts its changes. */
  presence(room: string): string {
    return `${this.#prefix}p:${room}`;
  }

  /** Where changes of who is in a room are told. */
  board(room: string): string {
    return `${this.#prefix}b:${room}`;
  }

  isBoard(channel: string): boolean {
    return channel.startsWith(`${this.#prefix}b:`);
  }

  /** The room of a channel of either kind. */
  room(channel: string): string {
    return channel.slice(this.#prefix.length + 2);
  }

  /** The answer to a publish that had a `uid`. */
  uid(room: string, uid: string): string {
    return `${this.#prefix}u:${room.length}:${room}${uid}`;
  }

  /** Where a node hears what it has sent through the way of a publish. */
  tick(node: string): string {
    return `${this.#prefix}t:${node}`;
  }

  /** Hash: when each node was heard last, and what it said of itself. */
  get nodes(): string {
    return `${this.#prefix}nodes`;
  }

  /** The lease of a node. */
  node(node: string): string {
    return `${this.#prefix}n:${node}`;
  }
}
