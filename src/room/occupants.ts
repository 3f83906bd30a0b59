/**
 * The users in one room, combined from this node's connections and lingering users and from the shares
 * of other nodes. What is shown of a user is resolved from all nodes and is the same at each.
 *
 * Not here: what watchers have been told (`roster.ts`), the exchange between nodes (`elsewhere.ts`).
 */
import type { Share } from '../broker/broker.js';
import type { PresenceCounts } from '../protocol/events.js';
import type { Info } from './identity.js';

/** One node's part of a user. */
interface Part {
  /** 0 while the user lingers. */
  connections: number;
  /** Milliseconds since 1970: `since` the user joined, `at` the latest join or change of info. */
  since: number;
  at: number;
  info: Info | undefined;
}

/** One user. */
export interface Entry {
  readonly user: string;
  /** Revision at which the user was added. Users are listed in this order. */
  readonly born: number;
  /** This node's part; null if the user is on other nodes only. */
  here: Part | null;
  /** Parts of other nodes, by node; null if the user is on this node only. */
  elsewhere: Map<string, Part> | null;
  /** Earliest join on any node, milliseconds since 1970. */
  since: number;
  /** Info of the latest part. */
  info: Info | undefined;
}

/** Number of the user's connections on all nodes. */
export function connectionsOf({ here, elsewhere }: Entry): number {
  let sum = here?.connections ?? 0;
  if (elsewhere !== null) for (const { connections } of elsewhere.values()) sum += connections;
  return sum;
}

export abstract class Occupants {
  #connections = 0;
  #anonymous = 0;
  /** Anonymous connections on this node, and on other nodes by node. */
  #anonymousHere = 0;
  readonly #anonymousElsewhere = new Map<string, number>();
  /** Users with a part of this node. */
  #here = 0;
  protected readonly users = new Map<string, Entry>();

  get counts(): PresenceCounts {
    const { size: users } = this.users;
    return { users, connections: this.#connections, anonymous: this.#anonymous };
  }

  /** No user or anonymous connection, on any node; none lingers. */
  get isEmpty(): boolean {
    return this.users.size === 0 && this.#anonymous === 0;
  }

  /** No member of this node is in the room, and no user lingers here. */
  get isElsewhere(): boolean {
    return this.#here === 0 && this.#anonymousHere === 0;
  }

  of(user: string): Entry | undefined {
    return this.users.get(user);
  }

  /** A connection has joined. `user` is null for an anonymous one. */
  enter(user: string | null, info: Info | undefined): Entry | null {
    if (user === null) {
      this.#anonymousHere += 1;
      this.#anonymous += 1;
      this.changed(null);
      return null;
    }
    this.#connections += 1;
    const now = Date.now();
    let entry = this.users.get(user);
    const isNew = entry === undefined;
    entry ??= this.#add(user, now, info);
    if (entry.here === null) {
      entry.here = { connections: 0, since: now, at: now, info };
      this.#here += 1;
    }
    entry.here.connections += 1;
    if (!this.inform(entry, info) && !isNew) this.changed(null);
    if (isNew) this.judge();
    return entry;
  }

  /** A connection has left. Its user stays in the list until `remove`. */
  exit(entry: Entry | null): void {
    if (entry === null) {
      this.#anonymousHere -= 1;
      this.#anonymous -= 1;
    } else {
      (entry.here as Part).connections -= 1;
      this.#connections -= 1;
    }
    this.changed(null);
  }

  /** Removes this node's part of a user with no connection left; the parts of other nodes stay. */
  remove(entry: Entry): void {
    entry.here = null;
    this.#here -= 1;
    this.#settle(entry);
  }

  /** Sets the info of this node's part. Returns whether what is shown of the user changed. */
  inform(entry: Entry, info: Info | undefined): boolean {
    const here = entry.here as Part;
    here.info = info;
    here.at = Date.now();
    return this.#resolve(entry);
  }

  /** This node's share of a user, or of the anonymous connections if null, as sent to other nodes. */
  share(user: string | null): Share {
    if (user === null) return { user, connections: this.#anonymousHere, since: 0, at: 0 };
    const entry = this.users.get(user);
    if (!entry?.here) return nothingOf(user);
    const { since } = entry;
    const { connections, at, info } = entry.here;
    return { user, connections, since, at, ...(info !== undefined && { info: info.text }) };
  }

  /** All shares of this node. */
  *shares(): Iterable<Share> {
    if (this.#anonymousHere > 0) yield this.share(null);
    for (const { user, here } of this.users.values()) if (here !== null) yield this.share(user);
  }

  /**
   * Stores another node's share of a user. Returns true if this node has the user too and has just
   * learned an earlier `since`, which it then has to send to the others.
   */
  take(node: string, { user, connections, since, at, info }: Share): boolean {
    if (user === null) {
      const more = (connections ?? 0) - (this.#anonymousElsewhere.get(node) ?? 0);
      if (more === 0) return false;
      this.#anonymous += more;
      if (connections) this.#anonymousElsewhere.set(node, connections);
      else this.#anonymousElsewhere.delete(node);
      this.changed(null);
      return false;
    }
    const known = this.users.get(user);
    this.#connections += (connections ?? 0) - (known?.elsewhere?.get(node)?.connections ?? 0);
    if (connections === null) {
      if (known?.elsewhere?.delete(node)) this.#settle(known);
      return false;
    }
    const told = info === undefined ? undefined : { text: info, value: JSON.parse(info) };
    const entry = known ?? this.#add(user, since, told);
    const before = entry.since;
    entry.elsewhere ??= new Map();
    entry.elsewhere.set(node, { connections, since, at, info: told });
    if (!this.#resolve(entry)) this.changed(null);
    if (known === undefined) this.judge();
    return entry.here !== null && entry.since < before;
  }

  /**
   * Stores shares of another node. `isWhole`: they are all it has, so its other shares are removed.
   * Returns the users whose own share this node has to send again, as `take` does.
   */
  takeAll(node: string, shares: readonly Share[], isWhole = true): string[] {
    if (isWhole) {
      const told = new Set(shares.map(({ user }) => user));
      if (!told.has(null)) this.take(node, nothingOf(null));
      for (const { user, elsewhere } of this.users.values()) {
        if (elsewhere?.has(node) && !told.has(user)) this.take(node, nothingOf(user));
      }
    }
    return shares.flatMap((share) => (this.take(node, share) ? [share.user as string] : []));
  }

  /** Drops the shares of all other nodes, which no longer send updates. */
  forget(): void {
    for (const node of [...this.#anonymousElsewhere.keys()]) this.takeAll(node, []);
    for (const { elsewhere } of this.users.values()) {
      for (const node of [...(elsewhere?.keys() ?? [])]) this.takeAll(node, []);
    }
  }

  /** Users added after the revision `after`. */
  protected *list(after: number): Iterable<Entry> {
    for (const entry of this.users.values()) if (entry.born > after) yield entry;
  }

  /** Users by `since`, an order that is the same on all nodes, starting after `after`. */
  earliest(after: Pick<Entry, 'since' | 'user'> | null, limit: number): Entry[] {
    const first: Entry[] = [];
    for (const entry of this.users.values()) {
      if (after !== null && !isBefore(after, entry)) continue;
      const last = first[limit - 1];
      if (last !== undefined && !isBefore(entry, last)) continue;
      let at = first.length;
      while (at > 0 && isBefore(entry, first[at - 1] as Entry)) at -= 1;
      first.splice(at, 0, entry);
      if (first.length > limit) first.pop();
    }
    return first;
  }

  /** Revision of the latest change. */
  abstract get rev(): number;

  /** A user joined, left or is shown differently; null if only counts changed. */
  protected abstract changed(entry: Entry | null): void;

  /** The number of users changed. */
  protected abstract judge(): void;

  #add(user: string, since: number, info: Info | undefined): Entry {
    const born = this.rev + 1;
    const entry: Entry = { user, since, born, here: null, elsewhere: null, info };
    this.users.set(user, entry);
    this.changed(entry);
    return entry;
  }

  /** One node no longer has the user: removes the user if no node does. */
  #settle(entry: Entry): void {
    if (entry.elsewhere?.size === 0) entry.elsewhere = null;
    if (entry.here !== null || entry.elsewhere !== null) {
      if (!this.#resolve(entry)) this.changed(null);
      return;
    }
    this.users.delete(entry.user);
    this.changed(entry);
    this.judge();
  }

  /** Computes what is shown of a user from the parts of all nodes. Returns whether it changed. */
  #resolve(entry: Entry): boolean {
    const { here, elsewhere } = entry;
    let latest = here;
    let { since } = entry;
    for (const part of elsewhere?.values() ?? []) {
      since = Math.min(since, part.since);
      if (latest === null || isLater(part, latest)) latest = part;
    }
    const info = latest?.info;
    if (entry.info?.text === info?.text && entry.since === since) return false;
    entry.info = info;
    entry.since = since;
    this.changed(entry);
    return true;
  }
}

const isBefore = (one: Pick<Entry, 'since' | 'user'>, other: Entry): boolean =>
  one.since < other.since || (one.since === other.since && one.user < other.user);

/** A share that says that a node no longer has the user. */
export const nothingOf = (user: string | null): Share => ({
  user,
  connections: null,
  since: 0,
  at: 0,
});

/** Ties in time are broken by the text of the info, so that all nodes show the same. */
const isLater = (one: Part, other: Part): boolean =>
  one.at > other.at || (one.at === other.at && (one.info?.text ?? '') > (other.info?.text ?? ''));
