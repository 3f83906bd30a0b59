/**
 * Who is in one room, by user, and what those who watch it have not been told yet. Each change takes the
 * next revision, and the latest `CHANGES` of them are noted; what a watcher knows is a revision, and what
 * it is told is made of the state there is when it can take it, so that nothing waits for it (V19).
 *
 * A revision r that a watcher has been told says: every user whose last change is at most r is as it knows.
 *
 * Not here: who that is (`occupants.ts`), when a round is due and how long a user lingers (`presence.ts`), bytes (`shown.ts`), a watcher's turn (`watch.ts`).
 */
import type { PresencePolicy } from '../options/config.js';
import type { Present } from '../protocol/events.js';
import { type Entry, Occupants } from './occupants.js';
import { type PresenceEvent, Shown } from './shown.js';
import { DONE, type Watch } from './watch.js';

/** Changes that a watcher may be behind before it is told everything anew. */
const CHANGES = 2000;
/** Bytes of users that are told at once, unless one alone has more. */
const PAGE_BYTES = 12 * 1024;
/** A list that has grown too long is told again when it is this part of the bound. */
const BACK = 0.8;
/** What is kept of diffs for watchers that are equally far behind. */
const SHARED_DIFFS = 16;

/** Of a user, who came, left, or has other info; null for numbers alone. Its id: who has left is not held. */
type Change = string | null;

export class Roster extends Occupants {
  readonly room: string;
  readonly policy: PresencePolicy;
  readonly watches = new Set<Watch>();
  /** Of the latest change. */
  #rev = 0;
  /** Watchers are told everything up to here; later changes are for the next round. */
  #told = 0;
  /** What was shown to anybody has nothing of later changes. */
  #shown = 0;
  /** By revision modulo `CHANGES`. */
  #changes: Change[] = [];
  /** Everything after this revision is noted. */
  #notedFrom = 0;
  #isCounting: boolean;
  /** How often that has changed: who was told before is told everything anew. */
  #generation = 1;
  #count: Shown | null = null;
  /** Of the list as of `#pagesRev`, by where each begins. */
  readonly #pages = new Map<number, Shown>();
  #pagesRev = -1;
  /** Up to `#told`, by where each begins. */
  readonly #diffs = new Map<number, Shown>();

  constructor(room: string, policy: PresencePolicy) {
    super();
    this.room = room;
    this.policy = policy;
    this.#isCounting = policy.presence === 'count';
  }

  get rev(): number {
    return this.#rev;
  }

  get mode(): 'users' | 'count' {
    return this.#isCounting ? 'count' : 'users';
  }

  /** There is something to tell in a round. */
  get isDirty(): boolean {
    return this.#rev > this.#told;
  }

  watch(watch: Watch): void {
    // Without anybody to tell, nothing is noted.
    if (this.watches.size === 0) {
      this.#notedFrom = this.#rev;
      this.#told = this.#rev;
    }
    this.watches.add(watch);
  }

  unwatch(watch: Watch): void {
    this.watches.delete(watch);
    if (this.watches.size > 0) return;
    this.#changes = [];
    this.#forget();
  }

  /** From now on watchers are told everything up to here. */
  beginRound(): void {
    this.#told = this.#rev;
    this.#forget();
  }

  /** Whether the watcher has yet to be told something. */
  isBehind({ generation, rev, at }: Watch): boolean {
    return generation !== this.#generation || at !== DONE || rev < this.#told;
  }

  /** What the watcher, which is behind, is told next; it knows that from then on. */
  next(watch: Watch): Shown {
    if (watch.generation !== this.#generation || watch.rev < this.#oldest) this.#restart(watch);
    if (this.#isCounting) {
      const count = this.#counted();
      watch.rev = count.to;
      watch.at = DONE;
      return count;
    }
    if (watch.at === DONE) {
      const diff = this.#diffs.get(watch.rev) ?? this.#diff(watch.rev);
      watch.rev = diff.to;
      return diff;
    }
    const page = this.#page(watch);
    watch.at = page.to;
    return page;
  }

  /** Of the earliest changes still noted. */
  get #oldest(): number {
    return Math.max(this.#notedFrom, this.#rev - CHANGES);
  }

  /** Every watcher has been told everything of the round: none of that is noted any more. */
  endRound(): void {
    if (this.#told === this.#rev) this.#changes = [];
    else {
      for (let rev = this.#oldest + 1; rev <= this.#told; rev += 1) {
        this.#changes[rev % CHANGES] = null;
      }
    }
    this.#notedFrom = Math.max(this.#notedFrom, this.#told);
  }

  protected changed(entry: Entry | null): void {
    // Nobody has been told the numbers as they were.
    if (entry === null && this.#rev > this.#shown) return;
    this.#rev += 1;
    if (this.watches.size > 0) this.#changes[this.#rev % CHANGES] = entry?.user ?? null;
  }

  /** Whether there are too many to list. */
  protected judge(): void {
    const { presence, presenceMaxUsers } = this.policy;
    if (presence === 'count') return;
    const most = this.#isCounting ? presenceMaxUsers * BACK : presenceMaxUsers;
    if (this.users.size > most === this.#isCounting) return;
    this.#isCounting = !this.#isCounting;
    this.#generation += 1;
    this.#count = null;
    this.#diffs.clear();
    this.#pages.clear();
    this.#pagesRev = -1;
  }

  /** Lets go of what was made for the round before. */
  #forget(): void {
    this.#diffs.clear();
    if (this.#pagesRev >= this.#told && this.watches.size > 0) return;
    this.#pages.clear();
    this.#pagesRev = -1;
  }

  /** Those who begin in the same time share what they are told. */
  #restart(watch: Watch): void {
    if (this.#pagesRev < this.#oldest) {
      this.#pages.clear();
      this.#pagesRev = this.#rev;
    }
    watch.generation = this.#generation;
    watch.rev = this.#pagesRev;
    watch.at = 0;
  }

  /** The numbers, which may be older than now but not than the round. */
  #counted(): Shown {
    if (this.#count === null || this.#count.to < this.#told) {
      const { room, counts } = this;
      this.#count = this.#show({ type: 'presence', room, rev: this.#rev, mode: 'count', counts });
    }
    return this.#count;
  }

  #show(event: PresenceEvent, to = this.#rev): Shown {
    this.#shown = this.#rev;
    return new Shown(event, to);
  }

  /** A part of the list for who is in the middle of it. */
  #page({ rev, at }: Watch): Shown {
    const isShared = rev === this.#pagesRev;
    const made = isShared ? this.#pages.get(at) : undefined;
    if (made !== undefined) return made;
    const users: Present[] = [];
    let bytes = 0;
    let last = at;
    let to = DONE;
    for (const entry of this.list(at)) {
      // Who has come since is told behind the list, unless they have gone by then.
      if (entry.born > rev) break;
      const present = presentOf(entry);
      bytes += bytesOf(present);
      if (users.length > 0 && bytes > PAGE_BYTES) {
        to = last;
        break;
      }
      users.push(present);
      last = entry.born;
    }
    const { room, counts } = this;
    const done = to === DONE;
    const page = this.#show(
      { type: 'presence', room, rev, mode: 'users', users, counts, done },
      to,
    );
    if (isShared) this.#pages.set(at, page);
    return page;
  }

  /** What has changed since, once a user, in the order of their last changes. */
  #diff(after: number): Shown {
    const last = new Map<string, number>();
    for (let rev = after + 1; rev <= this.#told; rev += 1) {
      const change = this.#changes[rev % CHANGES];
      if (change) last.set(change, rev);
    }
    const joined: Present[] = [];
    const left: string[] = [];
    let bytes = 0;
    let to = this.#told;
    for (let rev = after + 1; rev <= this.#told; rev += 1) {
      const change = this.#changes[rev % CHANGES];
      if (!change || last.get(change) !== rev) continue;
      const entry = this.users.get(change);
      const present = entry && presentOf(entry);
      bytes += bytesOf(present ?? change);
      if (joined.length + left.length > 0 && bytes > PAGE_BYTES) {
        to = rev - 1;
        break;
      }
      if (present) joined.push(present);
      // Also who has come and gone in between, since an earlier stay of theirs may have been told.
      else left.push(change);
    }
    const { room, counts } = this;
    const diff = this.#show(
      { type: 'presence_diff', room, after, rev: to, joined, left, counts },
      to,
    );
    if (this.#diffs.size < SHARED_DIFFS) this.#diffs.set(after, diff);
    return diff;
  }
}

const presentOf = ({ user, since, info }: Entry): Present => ({ user, since, info: info?.value });

const bytesOf = (told: Present | string): number => Buffer.byteLength(JSON.stringify(told));
