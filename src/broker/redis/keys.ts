/**
 * Names of roomcast's keys and channels in Redis. All begin with the format version and the cluster
 * name, so that two clusters or two versions on one Redis do not receive each other's messages:
 * channels ignore database numbers.
 *
 * Not here: the content of the keys (`scripts.ts`), the format of messages (`format.ts`).
 */

/** Version of everything stored and sent; part of the prefix. */
const FORMAT = 'rc1';

export class Keys {
  readonly #prefix: string;

  /** `cluster`: the cluster name of all nodes that share rooms; must not contain `:`. */
  constructor(cluster: string) {
    this.#prefix = `${FORMAT}:${cluster}:`;
  }

  /** Glob pattern that matches all of them. */
  get pattern(): string {
    return `${this.#prefix}*`;
  }

  /** Hash: `run` and `id` of the current term, and `by`, the replication id of the previous primary. */
  get term(): string {
    return `${this.#prefix}term`;
  }

  /** Hash of a room: epoch, number, term, closed epochs, last commit of each node. */
  meta(room: string): string {
    return `${this.#prefix}m:${room}`;
  }

  /** Stream of a room: one entry per commit, whose id is the number of its last publication. */
  log(room: string): string {
    return `${this.#prefix}l:${room}`;
  }

  /** Channel of a room's commits. */
  channel(room: string): string {
    return `${this.#prefix}c:${room}`;
  }

  /** Hash of a room's presence: a field for each node and user, and `v`, which counts changes. */
  presence(room: string): string {
    return `${this.#prefix}p:${room}`;
  }

  /** Channel of a room's presence changes. */
  board(room: string): string {
    return `${this.#prefix}b:${room}`;
  }

  isBoard(channel: string): boolean {
    return channel.startsWith(`${this.#prefix}b:`);
  }

  /** The room of a commit or presence channel. */
  room(channel: string): string {
    return channel.slice(this.#prefix.length + 2);
  }

  /** Key of the answer to a publish with a `uid`. */
  uid(room: string, uid: string): string {
    return `${this.#prefix}u:${room.length}:${room}${uid}`;
  }

  /** Channel on which a node receives its own heartbeats. */
  tick(node: string): string {
    return `${this.#prefix}t:${node}`;
  }

  /** Hash: last heartbeat of each node, and what it reported about itself. */
  get nodes(): string {
    return `${this.#prefix}nodes`;
  }

  /** Key of a node's lease. */
  node(node: string): string {
    return `${this.#prefix}n:${node}`;
  }
}
