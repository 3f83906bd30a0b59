/**
 * Exchange of presence with other nodes, between the rosters and the broker's board. Changes within
 * `TELL_MS` are sent together, as the state at the end: a user who joined and left in between costs
 * nothing.
 *
 * V8: `close` ends the timer. It does not withdraw this node's shares: its users have lost a connection,
 * and the other nodes let them linger until this node's lease ends.
 */
import type { Board } from '../broker/broker.js';
import { clearTimeout, setTimeout } from '../time.js';
import { nothingOf } from './occupants.js';
import type { Roster } from './roster.js';

const TELL_MS = 100;

export interface Rosters {
  of(room: string): Roster | undefined;
  /** The existing roster or a new one; null if the room's namespace has presence off. */
  open(room: string): Roster | null;
  all(): Iterable<Roster>;
  /** The roster may have changes for its watchers, or may be empty. */
  changed(roster: Roster): void;
}

export class Elsewhere {
  readonly #board: Board;
  readonly #rosters: Rosters;
  /** Users whose share of this node changed, by room; null stands for the anonymous connections. */
  readonly #changes = new Map<string, Set<string | null>>();
  /** Rooms this node has entered at the board. */
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

  /** This node's share of a user changed. */
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

  /**
   * Adds the users of a room in which this node has no member.
   * @throws Refusal `broker_unavailable`, as a rejection
   */
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
