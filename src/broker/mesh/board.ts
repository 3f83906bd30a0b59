/**
 * Who is in rooms at the workers of one machine: each tells all others what it has, so that every worker
 * knows all of it, whoever owns the room. Where the broker inside has a board of its own, that is it.
 *
 * V3, V23: what a link does not take is not kept for it: the room is told as a whole once it does. V8: the lease
 * of a worker that has gone is a timer that ends with the board.
 *
 * Not here: what is made of it (`room/elsewhere.ts`), the links (`visit.ts`, `host.ts`).
 */
import { randomBytes } from 'node:crypto';
import { clearTimeout, setTimeout } from '../../time.js';
import type { Board, BoardEvents, Share } from '../broker.js';

/** How long what a worker had outlives its link, in milliseconds: its members may be on their way to another. */
export const LEASE_MS = 15_000;

/** The way to another worker. */
export interface Peer {
  /** False where it does not take it now: `up` or `drained` is called when it does. */
  tell(text: string): boolean;
}

/** A room, what the worker has there, and whether that is all. */
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
  /** Of this incarnation. */
  readonly #node = randomBytes(8).toString('hex');
  /** With the rooms that it has to be told as a whole. */
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

  /** Who this worker is: what a new link is told before all else, however much waits behind it. */
  get name(): string {
    return JSON.stringify(this.#node);
  }

  /** There is a new link to it, which knows the name and nothing else. */
  up(peer: Peer): void {
    this.#peers.set(peer, new Set(this.#events.rooms()));
    this.drained(peer);
  }

  /** It takes more now. */
  drained(peer: Peer): void {
    const behind = this.#peers.get(peer);
    if (behind === undefined) return;
    for (const room of behind) {
      if (!peer.tell(textOf([room, [...this.#events.own(room)], true]))) return;
      behind.delete(room);
    }
  }

  /** Another worker tells who it is, or what it has. `node`: who it has said it is. Returns who it is. */
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
    // It tells all of it again.
    this.#events.gone(said);
    return said;
  }

  /** The link of another worker has ended. */
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
