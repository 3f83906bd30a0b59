/**
 * Presence among the workers of one machine. Each worker sends its shares to all others, so every
 * worker knows all of them, whichever worker owns the room. Not used if the inner broker has a board of
 * its own.
 *
 * V3, V23: shares that a full link cannot take are not queued; the room is sent as a whole once the
 * link has drained. V8: the lease timers of dead workers end with the board.
 *
 * Not here: what is made of the shares (`room/elsewhere.ts`), the links (`visit.ts`, `host.ts`).
 */
import { randomBytes } from 'node:crypto';
import { clearTimeout, setTimeout } from '../../time.js';
import type { Board, BoardEvents, Share } from '../broker.js';

/**
 * A dead worker's shares are kept this long, in milliseconds, since its members may be reconnecting to
 * another worker.
 */
export const LEASE_MS = 15_000;

/** A link to another worker. */
export interface Peer {
  /**
   * Returns false if the link is full or down; `up` or `drained` is called once it accepts data again.
   */
  tell(text: string): boolean;
}

/** A room, the worker's shares, and whether those are all. */
type Told = readonly [room: string, shares: readonly Share[], isWhole: boolean];

const NOBODY: BoardEvents = {
  told() {},
  gone() {},
  own: () => [],
  rooms: () => [],
};

interface Worker {
  links: number;
  lease: NodeJS.Timeout | undefined;
}

export class MeshBoard implements Board {
  /** Id of this incarnation of the worker. */
  readonly #node = randomBytes(8).toString('hex');
  /** Links, with the rooms that must still be sent as a whole. */
  readonly #peers = new Map<Peer, Set<string>>();
  readonly #workers = new Map<string, Worker>();
  readonly #leaseMs: number;
  #events = NOBODY;

  constructor(leaseMs: number) {
    this.#leaseMs = leaseMs;
  }

  attach(events: BoardEvents): void {
    this.#events = events;
  }

  enter(): void {}

  leave(): boolean {
    return false;
  }

  tell(room: string, shares: readonly Share[]): void {
    const text = textOf([room, shares, false]);
    for (const [peer, behind] of this.#peers) {
      if (behind.size > 0 || !peer.tell(text)) behind.add(room);
    }
  }

  /** The id of this worker, as the first text sent over a new link, ahead of everything queued. */
  get name(): string {
    return JSON.stringify(this.#node);
  }

  /** A new link is up; the other worker knows only our name so far. */
  up(peer: Peer): void {
    this.#peers.set(peer, new Set(this.#events.rooms()));
    this.drained(peer);
  }

  /** The link accepts data again. */
  drained(peer: Peer): void {
    const behind = this.#peers.get(peer);
    if (behind === undefined) return;
    for (const room of behind) {
      if (!peer.tell(textOf([room, [...this.#events.own(room)], true]))) return;
      behind.delete(room);
    }
  }

  /**
   * Handles a text from another worker: its id, or shares. `node`: the id it has sent before. Returns
   * its id.
   */
  hear(text: string, node: string): string {
    const said = JSON.parse(text) as string | Told;
    if (typeof said !== 'string') {
      const [room, shares, isWhole] = said;
      this.#events.told(room, node, shares, isWhole);
      return node;
    }
    const worker = this.#workers.get(said) ?? { links: 0, lease: undefined };
    this.#workers.set(said, worker);
    worker.links += 1;
    clearTimeout(worker.lease);
    // Drops its shares, since it resends all of them.
    this.#events.gone(said);
    return said;
  }

  /** A link from another worker has ended. */
  ended(node: string): void {
    const worker = this.#workers.get(node);
    if (worker === undefined) return;
    worker.links -= 1;
    if (worker.links > 0) return;
    worker.lease = setTimeout(() => {
      this.#workers.delete(node);
      this.#events.gone(node);
    }, this.#leaseMs).unref();
  }

  close(): void {
    this.#events = NOBODY;
    for (const { lease } of this.#workers.values()) clearTimeout(lease);
    this.#workers.clear();
    this.#peers.clear();
  }
}

const textOf = (told: Told): string => JSON.stringify(told);
