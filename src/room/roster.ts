/**
 * The presence list of one room and what its watchers have not been told yet. Each change takes the next
 * revision, and the latest `CHANGES` of them are noted. A watcher holds only a revision; a frame for it
 * is made from the current state when it can take it, so nothing is queued per watcher (V19).
 *
 * A watcher at revision r knows the state of every user whose last change is at most r.
 *
 * Not here: the users themselves (`occupants.ts`), rounds and lingering (`presence.ts`), encoding
 * (`shown.ts`), one watcher (`watch.ts`).
 */
import type { PresencePolicy } from '../options/config.js';
import type { Present } from '../protocol/events.js';
import { type Entry, Occupants } from './occupants.js';
import { type PresenceEvent, Shown } from './shown.js';
import { DONE, type Watch } from './watch.js';

/** A watcher more than this many changes behind gets the whole list again. */
const CHANGES = 2000;
/** Maximum bytes of users in one frame, unless a single user is larger. */
const PAGE_BYTES = 12 * 1024;
/** After switching to counts, the list comes back at this fraction of `presenceMaxUsers`. */
const BACK = 0.8;
/** Maximum diffs cached per round, shared by watchers at the same revision. */
const SHARED_DIFFS = 16;

/**
 * The id of a user who joined, left or has new info; null if only counts changed. An id, since a user
 * who has left is no longer held.
 */
type Change = string | null;

export class Roster extends Occupants {
  readonly room: string;
  readonly policy: PresencePolicy;
  readonly watches = new Set<Watch>();
  /** Revision of the latest change. */
  #rev = 0;
  /**
   * The current round tells watchers everything up to this revision; later changes wait for the next.
   */
  #told = 0;
  /** Revision at which the last frame was made; no watcher has seen later changes. */
  #shown = 0;
  /** By revision modulo `CHANGES`. */
  #changes: Change[] = [];
  /** All changes after this revision are noted. */
  #notedFrom = 0;
  #isCounting: boolean;
  /** Incremented when the mode changes; watchers of an earlier generation start over. */
  #generation = 1;
  #count: Shown | null = null;
  /** Pages of the list at revision `#pagesRev`, by the position each begins at. */
  readonly #pages = new Map<number, Shown>();
  #pagesRev = -1;
  /** Diffs up to `#told`, by the revision each begins at. */
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

  /** There are changes for a next round. */
  get isDirty(): boolean {
    return this.#rev > this.#told;
  }

  watch(watch: Watch): void {
    // Changes are not noted while there is no watcher.
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

  /** Begins a round: watchers are told everything up to the current revision. */
  beginRound(): void {
    this.#told = this.#rev;
    this.#forget();
  }

  /** Whether the watcher is behind the current round. */
  isBehind({ generation, rev, at }: Watch): boolean {
    return generation !== this.#generation || at !== DONE || rev < this.#told;
  }

  /** The next frame for a watcher that is behind. Advances the watcher past it. */
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

  /** Changes after this revision are still noted. */
  get #oldest(): number {
    return Math.max(this.#notedFrom, this.#rev - CHANGES);
  }

  /** Ends a round in which every watcher was told everything; its changes need not be noted any more. */
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
    // No watcher has seen the previous counts, so the current revision already covers this change.
    if (entry === null && this.#rev > this.#shown) return;
    this.#rev += 1;
    if (this.watches.size > 0) this.#changes[this.#rev % CHANGES] = entry?.user ?? null;
  }

  /** Switches between list and counts by the number of users. */
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

  /** Drops frames made for the previous round. */
  #forget(): void {
    this.#diffs.clear();
    if (this.#pagesRev >= this.#told && this.watches.size > 0) return;
    this.#pages.clear();
    this.#pagesRev = -1;
  }

  /** Starts a watcher over. Watchers that start at about the same time share the pages. */
  #restart(watch: Watch): void {
    if (this.#pagesRev < this.#oldest) {
      this.#pages.clear();
      this.#pagesRev = this.#rev;
    }
    watch.generation = this.#generation;
    watch.rev = this.#pagesRev;
    watch.at = 0;
  }

  /** The counts frame; may be older than now, but not older than the round. */
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

  /** The next page of the list for a watcher. */
  #page({ rev, at }: Watch): Shown {
    const isShared = rev === this.#pagesRev;
    const made = isShared ? this.#pages.get(at) : undefined;
    if (made !== undefined) return made;
    const users: Present[] = [];
    let bytes = 0;
    let last = at;
    let to = DONE;
    for (const entry of this.list(at)) {
      // Users who joined later are in the diff after the list, unless they have left by then.
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

  /** The changes after revision `after`, one per user, in the order of their last change. */
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
      // Includes users who joined and left in between, since the watcher may know an earlier stay of
      // theirs.
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
