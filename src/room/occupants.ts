/**
 * Who is in one room, by user: here, with connections of this node or waited for by it, or elsewhere, by the
 * shares of other nodes, or both. What is shown of a user is of all of them, and the same at each node.
 *
 * Not here: who has been told of it (`roster.ts`), how nodes tell each other (`elsewhere.ts`).
 */
import type { Share } from '../broker/broker.js';
import type { PresenceCounts } from '../protocol/events.js';
import type { Info } from './identity.js';

/** What one node has of a user. */
interface Part {
  /** 0: it is waited for. */
  connections: number;
  /** Milliseconds since 1970: when it came, and when its latest connection did, or said something new. */
  since: number;
  at: number;
  info: Info | undefined;
}

/** One user. */
export interface Entry {
  readonly user: string;
  /** The revision at which it came; users are in this order. */
  readonly born: number;
  /** This node's; null: it is elsewhere alone. */
  here: Part | null;
  /** By node; null: it is here alone. */
  elsewhere: Map<string, Part> | null;
  /** When it came to the first of them; milliseconds since 1970. */
  since: number;
  /** As the latest of them says. */
  info: Info | undefined;
}

/** Its connections, at all nodes. */
export function connectionsOf({ here, elsewhere }: Entry): number {
  let sum = here?.connections ?? 0;
  if (elsewhere !== null) for (const { connections } of elsewhere.values()) sum += connections;
  return sum;
}

export abstract class Occupants {
  #connections = 0;
  #anonymous = 0;
  /** Of those how many are here, and how many elsewhere, by node. */
  #anonymousHere = 0;
  readonly #anonymousElsewhere = new Map<string, number>();
  /** Users that are here. */
  #here = 0;
  protected readonly users = new Map<string, Entry>();

  get counts(): PresenceCounts {
    const { size: users } = this.users;
    return { users, connections: this.#connections, anonymous: this.#anonymous };
  }

  /** Nobody is in it or lingers. */
  get isEmpty(): boolean {
    return this.users.size === 0 && this.#anonymous === 0;
  }

  /** Nobody of this node is in it or is waited for. */
  get isElsewhere(): boolean {
    return this.#here === 0 && this.#anonymousHere === 0;
  }

  of(user: string): Entry | undefined {
    return this.users.get(user);
  }

  /** A connection has joined: of a user, or of nobody in particular. */
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

  /** A connection has left; its user stays until it is removed. */
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

  /** A user of whom no connection is left here is in the list for other nodes alone, if for any. */
  remove(entry: Entry): void {
    entry.here = null;
    this.#here -= 1;
    this.#settle(entry);
  }

  /** What is shown of a user is as its latest connection says. Whether that is another. */
  inform(entry: Entry, info: Info | undefined): boolean {
    const here = entry.here as Part;
    here.info = info;
    here.at = Date.now();
    return this.#resolve(entry);
  }

  /** What this node has of a user, or of nobody in particular, as others are told. */
  share(user: string | null): Share {
    if (user === null) return { user, connections: this.#anonymousHere, since: 0, at: 0 };
    const entry = this.users.get(user);
    if (!entry?.here) return nothingOf(user);
    const { since } = entry;
    const { connections, at, info } = entry.here;
    return { user, connections, since, at, ...(info !== undefined && { info: info.text }) };
  }

  /** All that this node has. */
  *shares(): Iterable<Share> {
    if (this.#anonymousHere > 0) yield this.share(null);
    for (const { user, here } of this.users.values()) if (here !== null) yield this.share(user);
  }

  /**
   * What another node has of a user, or of nobody in particular, from now on. Says whether this node has
   * it too and knows now that it came earlier, which others may not.
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
   * What another node has; `isWhole`: and nothing else. Users of whom this node has to tell its own
   * anew are returned, as `take` says it.
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

  /** It is not told what other nodes have any more. */
  forget(): void {
    for (const node of [...this.#anonymousElsewhere.keys()]) this.takeAll(node, []);
    for (const { elsewhere } of this.users.values()) {
      for (const node of [...(elsewhere?.keys() ?? [])]) this.takeAll(node, []);
    }
  }

  /** Users behind the one that was `born` then. */
  protected *list(after: number): Iterable<Entry> {
    for (const entry of this.users.values()) if (entry.born > after) yield entry;
  }

  /** Users in the order in which they came, which is the same at all nodes, from behind one of them. */
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

  /** Of the latest change. */
  abstract get rev(): number;

  /** A user has come, gone or is shown otherwise; null: only numbers are others. */
  protected abstract changed(entry: Entry | null): void;

  /** There are more users, or fewer. */
  protected abstract judge(): void;

  #add(user: string, since: number, info: Info | undefined): Entry {
    const born = this.rev + 1;
    const entry: Entry = { user, since, born, here: null, elsewhere: null, info };
    this.users.set(user, entry);
    this.changed(entry);
    return entry;
  }

  /** Some node has nothing of the user any more. */
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

  /** What is shown of a user, of what all nodes have of it: the same everywhere. Whether that is another. */
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

/** A node has nothing of the user any more. */
export const nothingOf = (user: string | null): Share => ({
  user,
  connections: null,
  since: 0,
  at: 0,
});

/** Two of the same time are told apart by what they say, so that all nodes show the same. */
const isLater = (one: Part, other: Part): boolean =>
  one.at > other.at || (one.at === other.at && (one.info?.text ?? '') > (other.info?.text ?? ''));
