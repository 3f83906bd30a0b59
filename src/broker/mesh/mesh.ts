/**
 * The broker of one of several workers, wrapped around the inner broker of each. A hash assigns each
 * room to the slot of one worker, its owner; only the owner uses its inner broker for the room, and the
 * others reach it over links. For its own rooms it answers as the inner broker does, synchronously if
 * that does.
 *
 * V20: an owner that restarted has a fresh inner broker, which continues in a new epoch. V21, V23: each
 * link is bounded; messages dropped on it are reported with reason `node`.
 *
 * Not here: which workers exist and where (`cluster/`).
 */
import { createServer, type Server } from 'node:net';
import { isThenable } from '../../thenable.js';
import type {
  Board,
  Broker,
  BrokerState,
  LossReason,
  MaybePromise,
  Past,
  Payload,
  Position,
  Publication,
  PublishOptions,
  Range,
} from '../broker.js';
import { LEASE_MS, MeshBoard } from './board.js';
import { Place, type Way } from './guests.js';
import { Host } from './host.js';
import { Owner } from './owner.js';
import { slotOf } from './slots.js';
import { Visit } from './visit.js';

export interface MeshOptions {
  /** Slot of this worker, from 0. */
  readonly slot: number;
  readonly slots: number;
  /** The inner broker; the mesh owns it from now on. */
  readonly inner: Broker;
  /** How long a dead worker's presence is kept, in milliseconds. Default 15,000. */
  readonly leaseMs?: number;
}

/** Counts since the start. */
export interface MeshCounts {
  /** Messages dropped because a worker did not read them in time. */
  lost: number;
}

export class MeshBroker implements Broker {
  readonly counts: MeshCounts = { lost: 0 };
  /** Only if the inner broker keeps history. */
  declare readonly history?: NonNullable<Broker['history']>;
  declare readonly purge?: NonNullable<Broker['purge']>;
  /** The inner broker's board, which covers all nodes, if it has one; else the mesh's. */
  readonly board: Board;
  readonly #board: MeshBoard;
  readonly #slots: number;
  readonly #inner: Broker;
  readonly #owner: Owner;
  /** Links to the other workers, by slot; null for this worker's own slot. */
  readonly #visits: readonly (Visit | null)[];
  readonly #own = new Map<string, Place>();
  readonly #way: Way;
  readonly #hosts = new Set<Host>();
  #server: Server | null = null;
  #deliver: (publication: Publication) => void = () => {};
  #reset: (room: string, position: Position, was: Position) => void = () => {};
  #lost: (room: string, to: number, reason?: LossReason) => void = () => {};

  constructor({ slot, slots, inner, leaseMs = LEASE_MS }: MeshOptions) {
    this.#board = new MeshBoard(leaseMs);
    this.#slots = slots;
    this.#inner = inner;
    this.#owner = new Owner(inner);
    this.board = inner.board ?? this.#board;
    const eventsOf = (visit: () => Visit) => ({
      up: () => this.#board.up(visit()),
      drained: () => this.#board.drained(visit()),
      deliver: (publication: Publication) => this.#deliver(publication),
      lost: (room: string, to: number, reason: LossReason) => this.#lost(room, to, reason),
      reset: (room: string, position: Position, was: Position) => this.#reset(room, position, was),
    });
    this.#visits = Array.from({ length: slots }, (_, at) => {
      if (at === slot) return null;
      const visit: Visit = new Visit(
        eventsOf(() => visit),
        this.#board.name,
      );
      return visit;
    });
    this.#way = {
      isFull: false,
      opened: () => {},
      message: (_, publication) => this.#deliver(publication),
      lost: ({ room }, to, reason) => this.#lost(room, to, reason),
      reset: ({ room }, position, was) => this.#reset(room, position, was),
      shed: () => {},
      count: () => {},
    };
    if (inner.history !== undefined) this.history = (...asked) => this.#history(...asked);
    if (inner.purge !== undefined) this.purge = (...asked) => this.#purge(...asked);
  }

  /** Bytes queued for other workers. */
  get bytes(): number {
    let bytes = 0;
    for (const host of this.#hosts) bytes += host.bytes;
    for (const visit of this.#visits) bytes += visit?.bytes ?? 0;
    return bytes;
  }

  /** Publications in the rooms this worker owns. */
  get published(): number {
    return this.#owner.published;
  }

  /** Rooms this worker owns that have a subscriber. */
  get ownedRooms(): number {
    return this.#owner.rooms;
  }

  get lagMs(): number {
    return this.#inner.lagMs ?? 0;
  }

  /** Slots whose worker is unreachable. */
  get missing(): number[] {
    return this.#visits.flatMap((visit, at) => (visit === null || visit.isUp ? [] : [at]));
  }

  /** Accepts links from other workers at this path. */
  listen(path: string): Promise<void> {
    const server = createServer((socket) => {
      const count = (lost: number) => {
        this.counts.lost += lost;
      };
      const ended = (host: Host) => void this.#hosts.delete(host);
      this.#hosts.add(new Host(socket, this.#owner, this.#inner, this.#board, count, ended));
    });
    this.#server = server;
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      // Not through the primary: each worker listens on a path of its own.
      server.listen({ path, exclusive: true }, resolve);
    });
  }

  /** The worker of another slot listens at this path from now on. */
  moved(slot: number, path: string): void {
    this.#visits[slot]?.moveTo(path);
  }

  onDeliver(deliver: (publication: Publication) => void): void {
    this.#deliver = deliver;
  }

  onReset(reset: (room: string, position: Position, was: Position) => void): void {
    this.#reset = reset;
  }

  onLost(lost: (room: string, to: number, reason?: LossReason) => void): void {
    this.#lost = lost;
  }

  onState(changed: (state: BrokerState) => void): void {
    this.#inner.onState(changed);
  }

  /**
   * Counts only this worker: connections are spread in turn, so a room has about as many at each
   * worker.
   */
  measureRooms(sizeOf: (room: string) => number): void {
    this.#inner.measureRooms?.(sizeOf);
  }

  state(room?: string): BrokerState {
    if (room === undefined) return this.#inner.state();
    const visit = this.#visitOf(room);
    if (visit === null) return this.#inner.state(room);
    return visit.isLive(room) ? 'up' : 'suspended';
  }

  publish(room: string, payload: Payload, options: PublishOptions): MaybePromise<Position> {
    const visit = this.#visitOf(room);
    if (visit === null) return this.#inner.publish(room, payload, options);
    return visit.publish(room, payload, options);
  }

  subscribe(room: string, signal: AbortSignal, since?: Position): MaybePromise<Position> {
    const visit = this.#visitOf(room);
    if (visit !== null) return visit.subscribe(room, signal, since);
    const place = this.#own.get(room);
    if (place?.isOpen && since === undefined) return { seq: place.sent, epoch: place.epoch };
    if (place !== undefined) this.#owner.close(place);
    const opened = new Place(room, this.#way, 0, since);
    this.#own.set(room, opened);
    const gone = () => {
      if (this.#own.get(room) === opened) this.#own.delete(room);
      this.#owner.close(opened);
    };
    let answer: MaybePromise<Position>;
    try {
      answer = this.#owner.open(opened, since);
    } catch (error) {
      gone();
      throw error;
    }
    if (!isThenable(answer)) return answer;
    signal.addEventListener('abort', gone, { once: true });
    return Promise.resolve(answer).then(
      (position) => {
        signal.removeEventListener('abort', gone);
        return position;
      },
      (error: unknown) => {
        signal.removeEventListener('abort', gone);
        gone();
        throw error;
      },
    );
  }

  settled(room: string, signal: AbortSignal): MaybePromise<void> {
    const visit = this.#visitOf(room);
    if (visit === null) return this.#inner.settled?.(room, signal);
    return visit.ask({ what: 'settled', room }, signal) as Promise<void>;
  }

  unsubscribe(room: string): void {
    const visit = this.#visitOf(room);
    if (visit !== null) {
      visit.unsubscribe(room);
      return;
    }
    const place = this.#own.get(room);
    if (place === undefined) return;
    this.#own.delete(room);
    this.#owner.close(place);
  }

  async close(): Promise<void> {
    this.#deliver = () => {};
    this.#lost = () => {};
    this.#reset = () => {};
    this.#board.close();
    await Promise.all(this.#visits.map((visit) => visit?.close()));
    this.#server?.close();
    this.#owner.end();
    // Publishes of other workers are answered before their links end; otherwise they would be uncertain.
    await this.#inner.close();
    for (const host of this.#hosts) {
      host.end();
      host.destroy();
    }
  }

  #visitOf(room: string): Visit | null {
    return this.#visits[slotOf(room, this.#slots)] ?? null;
  }

  #history(room: string, range: Range, signal: AbortSignal): MaybePromise<Past> {
    const visit = this.#visitOf(room);
    if (visit === null) return (this.#inner as Required<Broker>).history(room, range, signal);
    return visit.ask({ what: 'history', room, range }, signal) as Promise<Past>;
  }

  #purge(room: string, through: number, signal: AbortSignal): MaybePromise<void> {
    const visit = this.#visitOf(room);
    if (visit === null) return (this.#inner as Required<Broker>).purge(room, through, signal);
    return visit.ask({ what: 'purge', room, through }, signal) as Promise<void>;
  }
}
