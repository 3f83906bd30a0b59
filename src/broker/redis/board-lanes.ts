/**
 * Sends this node's presence changes to Redis.
 *
 * V3: one change per room is in flight; further changes are kept once per user.
 *
 * Not here: the presence of other nodes (`board.ts`), the scripts (`board-scripts.ts`).
 */
import type { Share } from '../broker.js';
import { SHARE } from './board-scripts.js';
import type { Keys } from './keys.js';
import type { Link } from './link.js';

/** Pending presence changes of one room. */
interface Lane {
  isUnderWay: boolean;
  /** All of this node's shares must be sent, not only `next`. */
  isWhole: boolean;
  next: Map<string | null, Share>;
}

export interface LanesConfig {
  readonly node: string;
  readonly keys: Keys;
  readonly idleRoomMs: number;
  /** All of this node's shares of a room. */
  own(room: string): Iterable<Share>;
}

export class Lanes {
  readonly #config: LanesConfig;
  readonly #lanes = new Map<string, Lane>();
  #link: Link | null = null;

  constructor(config: LanesConfig) {
    this.#config = config;
  }

  /** True if changes of the room have not reached Redis yet. */
  has(room: string): boolean {
    return this.#lanes.has(room);
  }

  tell(room: string, shares: readonly Share[]): void {
    const lane = this.#lane(room);
    for (const share of shares) lane.next.set(share.user, share);
    this.#send(room, lane);
  }

  /** Sends all of this node's shares of these rooms. */
  tellAll(rooms: Iterable<string>): void {
    for (const room of rooms) {
      const lane = this.#lane(room);
      lane.isWhole = true;
      this.#send(room, lane);
    }
  }

  /** Resends what Redis refused before. */
  tellAgain(): void {
    for (const [room, lane] of this.#lanes) this.#send(room, lane);
  }

  /** A new link: sends all shares of these rooms, and pending changes of others. */
  up(link: Link, rooms: Iterable<string>): void {
    this.#link = link;
    for (const lane of this.#lanes.values()) lane.isUnderWay = false;
    this.tellAll(rooms);
    this.tellAgain();
  }

  down(): void {
    this.#link = null;
  }

  close(): void {
    this.down();
    this.#lanes.clear();
  }

  #lane(room: string): Lane {
    let lane = this.#lanes.get(room);
    if (lane === undefined) {
      lane = { isUnderWay: false, isWhole: false, next: new Map() };
      this.#lanes.set(room, lane);
    }
    return lane;
  }

  #send(room: string, lane: Lane): void {
    const link = this.#link;
    if (link === null || lane.isUnderWay) return;
    if (!lane.isWhole && lane.next.size === 0) {
      this.#lanes.delete(room);
      return;
    }
    const { keys, node, idleRoomMs, own } = this.#config;
    const { isWhole } = lane;
    const shares = isWhole ? [...own(room)] : [...lane.next.values()];
    lane.isUnderWay = true;
    lane.isWhole = false;
    lane.next = new Map();
    const fields = shares.flatMap((share) => [
      node + (share.user ?? ''),
      share.connections === null || (share.user === null && share.connections === 0)
        ? ''
        : JSON.stringify(share),
    ]);
    link
      .run(
        SHARE,
        [keys.term, keys.presence(room), keys.board(room)],
        [node, String(idleRoomMs), isWhole ? '1' : '0', JSON.stringify(shares), ...fields],
      )
      .catch(() => {
        // Redis refused or the link ended: all shares are sent at the next attempt.
        lane.isWhole = true;
      })
      .finally(() => {
        if (this.#link !== link) return;
        lane.isUnderWay = false;
        // If Redis refused, `tellAgain` resends it at the next check for dead nodes.
        if (!lane.isWhole) this.#send(room, lane);
      });
  }
}
