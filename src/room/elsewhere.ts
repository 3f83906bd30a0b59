/**
 * What other nodes are told of who is in rooms here, and what they tell, between rosters and the broker's
 * board. What changes in `TELL_MS` is told together, as it is by then: a user that has come and gone costs nothing.
 *
 * V8: `close` ends the timer. What this node had is not taken back then: those who were here have lost a
 * connection, and are waited for as such, until its lease is over.
 */
import type { Board } from '../broker/broker.js';
import { clearTimeout, setTimeout } from '../time.js';
import { nothingOf } from './occupants.js';
import type { Roster } from './roster.js';

const TELL_MS = 100;

export interface Rosters {
  of(room: string): Roster | undefined;
  /** The one that is there, or a new one; null where rooms of this name have none. */
  open(room: string): Roster | null;
  all(): Iterable<Roster>;
  /** Watchers of it may have to be told something, or it may be over. */
  changed(roster: Roster): void;
}

export class Elsewhere {
  readonly #board: Board;
  readonly #rosters: Rosters;
  /** Users that this node has something else of, by room; null is nobody in particular. */
  readonly #changes = new Map<string, Set<string | null>>();
  /** Rooms that somebody of this node is in, as the board knows it. */
  readonly #entered = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(board: Board, rosters: Rosters) {
    this.#board = board;
    this.#rosters = rosters;
    board.attach({
      told: (room, node, shares, isWhole) => {
        const roster = this.#isClosed ? null : rosters.open(room);
        if (roster === null) return;
        for (const user of roster.takeAll(node, shares, isWhole)) this.changed(room, user);
        rosters.changed(roster);
      },
      gone: (node) => {
        if (this.#isClosed) return;
        for (const roster of rosters.all()) {
          roster.takeAll(node, []);
          rosters.changed(roster);
        }
      },
      own: (room) => rosters.of(room)?.shares() ?? [],
      rooms: () => this.#entered,
    });
  }

  /** This node has something else of a user. */
  changed(room: string, user: string | null): void {
    if (this.#isClosed) return;
    const changes = this.#changes.get(room);
    if (changes === undefined) this.#changes.set(room, new Set([user]));
    else changes.add(user);
    this.#timer ??= setTimeout(() => this.#tell(), TELL_MS).unref();
    if (this.#entered.has(room)) return;
    this.#entered.add(room);
    this.#board.enter(room);
  }

  /** Adds who is in a room that nobody of this node is in. @throws Refusal `broker_unavailable`, as a rejection */
  async read(roster: Roster): Promise<void> {
    const all = (await this.#board.read?.(roster.room)) ?? [];
    for (const [node, shares] of all) roster.takeAll(node, shares);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#changes.clear();
  }

  #tell(): void {
    this.#timer = undefined;
    const all = [...this.#changes];
    this.#changes.clear();
    for (const [room, users] of all) {
      const roster = this.#rosters.of(room);
      const shareOf = (user: string | null) => roster?.share(user) ?? nothingOf(user);
      this.#board.tell(room, Array.from(users, shareOf));
      if (roster?.isElsewhere === false) continue;
      this.#entered.delete(room);
      if (!this.#board.leave(room) || roster === undefined) continue;
      roster.forget();
      this.#rosters.changed(roster);
    }
  }
}
