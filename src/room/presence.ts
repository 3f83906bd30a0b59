/**
 * Presence: the rosters of the rooms with presence enabled, and the schedule by which watchers are told
 * of changes. A user joins with their first connection and leaves when their last one has ended and they
 * have not returned in time, so another tab, a reload or a lost network causes no event.
 *
 * V19: watchers are told at most once an interval, in slices after all live work; nothing is queued for
 * them. V8: `close` ends all timers. Where presence is off, nothing is held and nothing done.
 *
 * Not here: the content of a presence frame (`roster.ts`), lingering users (`lingering.ts`), other nodes
 * (`elsewhere.ts`).
 */
import type { Board } from '../broker/broker.js';
import { Refusal } from '../errors.js';
import type { Config, PresencePolicy } from '../options/config.js';
import { namespaceOf, presences } from '../options/namespaces.js';
import { clearTimeout, nowMs, setTimeout } from '../time.js';
import { Elsewhere } from './elsewhere.js';
import type { Late } from './fan-out.js';
import { Lingering } from './lingering.js';
import type { Observer } from './observer.js';
import type { Entry } from './occupants.js';
import { Roster } from './roster.js';
import type { Subscription } from './subscription.js';
import { Watch } from './watch.js';

/** With more watchers than this the interval grows, so that no more of them are told per second. */
const WATCHERS = 1000;
/** The number of watchers makes no interval longer than this. */
const MAX_INTERVAL_MS = 30_000;

/** Milliseconds between two rounds with `watchers` watchers, where `presenceIntervalMs` is `ms`. */
export function intervalFor(watchers: number, ms: number): number {
  return Math.max(ms, Math.min(MAX_INTERVAL_MS, (ms * watchers) / WATCHERS));
}

/** One member's entry in a roster. */
export interface Stay {
  readonly roster: Roster;
  /** Null for an anonymous member. */
  entry: Entry | null;
  watch: Watch | null;
}

/** A round tells all watchers of one roster. */
interface Round {
  /** When it began, by `nowMs()`. */
  beganAt: number;
  /** Runs until the round may begin. */
  timer: NodeJS.Timeout | undefined;
  /** The watchers still to be told; null before the round begins. */
  left: Iterator<Watch> | null;
  /** A watcher could not be told at once. */
  isUnread: boolean;
}

interface PresenceContext {
  readonly config: Config;
  /** Shares presence with other nodes; undefined if there are none. */
  readonly board?: Board | undefined;
  readonly observer: Observer;
  /** Schedules a call of `run`. */
  wake(): void;
}

export class Presence implements Late {
  readonly #context: PresenceContext;
  #policies: ReadonlyMap<string, PresencePolicy>;
  readonly #rosters = new Map<string, Roster>();
  readonly #rounds = new Map<Roster, Round>();
  /** Rosters whose round is due or in progress, in turn. */
  readonly #due = new Set<Roster>();
  /** New watchers that have been told nothing yet. */
  readonly #fresh = new Set<Watch>();
  readonly #lingering = new Lingering((roster, entry) => {
    this.#remove(roster, entry);
    this.#changed(roster);
  });
  #watchers = 0;
  readonly #elsewhere: Elsewhere | null;
  #isClosed = false;

  constructor(context: PresenceContext) {
    this.#context = context;
    this.#policies = presences(context.config);
    const { board } = context;
    const rosters = this.#rosters;
    this.#elsewhere =
      board === undefined
        ? null
        : new Elsewhere(board, {
            of: (room) => rosters.get(room),
            open: (room) => rosters.get(room) ?? this.#create(room),
            all: () => rosters.values(),
            changed: (roster) => this.#changed(roster),
          });
  }

  /** Re-reads the policies from the options; they apply to rooms that have no roster yet. */
  reload(): void {
    this.#policies = presences(this.#context.config);
  }

  /** Whether any namespace has presence enabled. */
  get isOn(): boolean {
    for (const { presence } of this.#policies.values()) if (presence !== 'off') return true;
    return false;
  }

  get isReady(): boolean {
    return this.#due.size > 0 || this.#fresh.size > 0;
  }

  get lingering(): number {
    return this.#lingering.size;
  }

  /** Rosters with a connected or lingering user of this node. */
  get rooms(): number {
    let count = 0;
    for (const { isElsewhere } of this.#rosters.values()) if (!isElsewhere) count += 1;
    return count;
  }

  /** Watches: a member counts once for each room it watches. */
  get watchers(): number {
    return this.#watchers;
  }

  /** @throws Refusal `not_enabled` if the room's namespace has presence off */
  check(room: string): void {
    if (this.#rosters.has(room) || this.#policyOf(room).presence !== 'off') return;
    throw new Refusal('not_enabled', `Presence is off in the namespace ${namespaceOf(room)}.`);
  }

  /** The roster as far as this node knows it without asking; undefined if it knows of no one. */
  of(room: string): Roster | undefined {
    return this.#rosters.get(room);
  }

  /**
   * The roster of a room, also if this node has no member in it.
   *
   * @throws Refusal `not_enabled`, `broker_unavailable`; it rejects with them
   */
  async read(room: string): Promise<Roster> {
    this.check(room);
    const known = this.#rosters.get(room);
    if (known !== undefined && !known.isElsewhere) return known;
    const roster = known ?? new Roster(room, this.#policyOf(room));
    if (known === undefined) await this.#elsewhere?.read(roster);
    return roster;
  }

  /** A member has joined. */
  entered(subscription: Subscription): void {
    const { room, member } = subscription;
    const roster = this.#rosters.get(room) ?? this.#create(room);
    if (roster === null) return;
    const { user, info } = member.identity;
    subscription.stay = { roster, entry: this.#enter(roster, user, info), watch: null };
    this.#changed(roster);
  }

  /** Starts telling the member who is in the room, until it leaves. */
  watch(subscription: Subscription): void {
    const { stay } = subscription;
    if (stay === null || stay.watch !== null || this.#isClosed) return;
    stay.watch = new Watch(subscription, stay.roster, this.#context.observer);
    stay.roster.watch(stay.watch);
    this.#watchers += 1;
    this.#fresh.add(stay.watch);
    this.#context.wake();
  }

  /** Stops telling the member. */
  unwatch({ stay }: Subscription): void {
    if (!stay?.watch) return;
    stay.roster.unwatch(stay.watch);
    this.#watchers -= 1;
    this.#fresh.delete(stay.watch);
    stay.watch = null;
  }

  /** A member has left. `isFinal`: it left by command or was removed, so its user does not linger. */
  left(subscription: Subscription, isFinal: boolean): void {
    const { stay } = subscription;
    if (stay === null) return;
    this.unwatch(subscription);
    subscription.stay = null;
    this.#exit(stay, isFinal);
    this.#changed(stay.roster);
  }

  /**
   * The member's identity or permissions have changed. A watcher that may no longer watch is told so.
   */
  identified(subscription: Subscription): void {
    const { stay, member, room } = subscription;
    if (stay === null) return;
    const { user, info, may } = member.identity;
    if (stay.watch !== null && !may('presence', room)) {
      this.unwatch(subscription);
      member.send({ type: 'presence', room, mode: 'off' });
    }
    // The app may have ended the connection when it was asked for the permission.
    if (subscription.hasLeft) return;
    const { roster, entry } = stay;
    if (user === (entry?.user ?? null)) {
      if (entry !== null) {
        roster.inform(entry, info);
        this.#elsewhere?.changed(room, user);
      }
    } else {
      this.#exit(stay, true);
      stay.entry = this.#enter(roster, user, info);
    }
    this.#changed(roster);
  }

  run(deadline: number): void {
    for (const watch of this.#fresh) {
      this.#fresh.delete(watch);
      watch.subscription.outbox.show(watch);
      if (nowMs() >= deadline) return;
    }
    for (const roster of this.#due) {
      const round = this.#rounds.get(roster) as Round;
      if (round.left === null) {
        roster.beginRound();
        round.beganAt = nowMs();
        round.left = roster.watches.values();
        round.isUnread = false;
      }
      for (let next = round.left.next(); !next.done; next = round.left.next()) {
        if (next.value.isBehind) next.value.subscription.outbox.show(next.value);
        round.isUnread ||= next.value.isBehind;
        if (nowMs() >= deadline) {
          // The other due rosters go first.
          this.#due.delete(roster);
          this.#due.add(roster);
          return;
        }
      }
      round.left = null;
      if (!round.isUnread) roster.endRound();
      this.#due.delete(roster);
      this.#changed(roster);
      if (nowMs() >= deadline) return;
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#elsewhere?.close();
    for (const { timer } of this.#rounds.values()) clearTimeout(timer);
    this.#rounds.clear();
    this.#due.clear();
    this.#fresh.clear();
    this.#lingering.close();
    this.#rosters.clear();
  }

  #policyOf(room: string): PresencePolicy {
    return (this.#policies.get(namespaceOf(room)) ??
      this.#policies.get('default')) as PresencePolicy;
  }

  #create(room: string): Roster | null {
    const policy = this.#policyOf(room);
    if (policy.presence === 'off') return null;
    const roster = new Roster(room, policy);
    this.#rosters.set(room, roster);
    return roster;
  }

  #enter(roster: Roster, user: string | null, info: Entry['info']): Entry | null {
    const known = user === null ? undefined : roster.of(user);
    if (known?.here?.connections === 0) {
      this.#lingering.rest(roster, known);
      this.#context.observer.presenceChanged('returned');
    } else if (known === undefined && user !== null) {
      this.#context.observer.presenceChanged('joined');
    }
    this.#elsewhere?.changed(roster.room, user);
    return roster.enter(user, info);
  }

  #exit({ roster, entry }: Stay, isFinal: boolean): void {
    roster.exit(entry);
    this.#elsewhere?.changed(roster.room, entry?.user ?? null);
    if (entry === null || (entry.here?.connections ?? 0) > 0) return;
    const { presenceLingerMs } = roster.policy;
    if (isFinal || presenceLingerMs === 0 || this.#isClosed) this.#remove(roster, entry);
    else this.#lingering.add(roster, entry);
  }

  #remove(roster: Roster, entry: Entry): void {
    roster.remove(entry);
    this.#elsewhere?.changed(roster.room, entry.user);
    // Not counted as left while another node still has the user.
    if (roster.of(entry.user) === undefined) this.#context.observer.presenceChanged('left');
  }

  /** Schedules a round if the roster has changes for its watchers; drops the roster if it is empty. */
  #changed(roster: Roster): void {
    if (roster.isEmpty && roster.watches.size === 0) {
      this.#drop(roster);
      return;
    }
    if (!roster.isDirty || roster.watches.size === 0 || this.#isClosed) return;
    let round = this.#rounds.get(roster);
    if (round === undefined) {
      round = { beganAt: Number.NEGATIVE_INFINITY, timer: undefined, left: null, isUnread: false };
      this.#rounds.set(roster, round);
    }
    if (round.timer !== undefined || this.#due.has(roster)) return;
    const interval = intervalFor(roster.watches.size, roster.policy.presenceIntervalMs);
    const waitMs = round.beganAt + interval - nowMs();
    if (waitMs <= 0) this.#begin(roster);
    else {
      round.timer = setTimeout(() => {
        round.timer = undefined;
        this.#begin(roster);
      }, waitMs).unref();
    }
  }

  #begin(roster: Roster): void {
    this.#due.add(roster);
    this.#context.wake();
  }

  #drop(roster: Roster): void {
    if (this.#rosters.get(roster.room) === roster) this.#rosters.delete(roster.room);
    clearTimeout(this.#rounds.get(roster)?.timer);
    this.#rounds.delete(roster);
    this.#due.delete(roster);
  }
}
