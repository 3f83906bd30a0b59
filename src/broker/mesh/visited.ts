/**
 * The rooms this worker has opened at their owner. Over each new link it reopens them from its own
 * position, so that missing messages are delivered or reported (V21).
 *
 * Not here: the link (`visit.ts`), the owner's end (`host.ts`).
 */
import { Refusal, type RefusalCode } from '../../errors.js';
import { setTimeout } from '../../time.js';
import type { LossReason, Position, Publication } from '../broker.js';
import { type FrameReader, KIND } from './frames.js';
import type { Link } from './link.js';

/** Delay before a refused room is reopened, in milliseconds. */
const AGAIN_MS = 500;

const REASONS: readonly LossReason[] = ['broker', 'node'];

export interface RoomEvents {
  deliver(publication: Publication): void;
  lost(room: string, to: number, reason: LossReason): void;
  reset(room: string, position: Position, was: Position): void;
}

interface Visited {
  readonly name: string;
  /** Number of the room on the current link. */
  number: number;
  /** Position delivered or reported last; null before the first answer. */
  known: Position | null;
  isOpen: boolean;
  readonly waits: Set<{ resolve(position: Position): void; reject(error: unknown): void }>;
}

export class VisitedRooms {
  readonly #events: RoomEvents;
  readonly #rooms = new Map<string, Visited>();
  readonly #byNumber = new Map<number, Visited>();
  #numbers = 0;
  #link: Link | null = null;
  /** No further rooms are opened over the current link. */
  #isHeld = false;

  constructor(events: RoomEvents) {
    this.#events = events;
  }

  isLive(room: string): boolean {
    return this.#rooms.get(room)?.isOpen ?? true;
  }

  /** Number of an open room on the link; 0 if it is not open. */
  numberOf(room: string): number {
    const visited = this.#rooms.get(room);
    return visited?.isOpen ? visited.number : 0;
  }

  subscribe(name: string, signal: AbortSignal, since?: Position): Position | Promise<Position> {
    let room = this.#rooms.get(name);
    if (room !== undefined && since === undefined && room.isOpen && room.known !== null) {
      return room.known;
    }
    if (room === undefined) {
      room = { name, number: 0, known: since ?? null, isOpen: false, waits: new Set() };
      this.#rooms.set(name, room);
      this.#open(room);
    } else if (since !== undefined) {
      this.#close(room);
      room.known = since;
      this.#open(room);
    }
    const { waits } = room;
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        waits.delete(wait);
        if (waits.size === 0 && room.known === null) this.unsubscribe(name);
        reject(signal.reason);
      };
      const wait = {
        resolve(position: Position) {
          signal.removeEventListener('abort', giveUp);
          resolve(position);
        },
        reject(cause: unknown) {
          signal.removeEventListener('abort', giveUp);
          reject(cause);
        },
      };
      waits.add(wait);
      signal.addEventListener('abort', giveUp, { once: true });
    });
  }

  unsubscribe(name: string): void {
    const room = this.#rooms.get(name);
    if (room === undefined) return;
    this.#rooms.delete(name);
    this.#close(room);
  }

  up(link: Link): void {
    this.#link = link;
    this.#isHeld = false;
    for (const room of this.#rooms.values()) this.#open(room);
  }

  /** Opens no rooms until there is a new link. */
  hold(): void {
    this.#isHeld = true;
  }

  down(): void {
    this.#link = null;
    this.#byNumber.clear();
    for (const room of this.#rooms.values()) room.isOpen = false;
  }

  clear(): void {
    this.#link = null;
    const closed = new Refusal('broker_unavailable', 'The broker is closed.');
    for (const { waits } of this.#rooms.values()) for (const { reject } of waits) reject(closed);
    this.#rooms.clear();
    this.#byNumber.clear();
  }

  /** A frame about a room; it may arrive after this worker has closed the room. */
  frame(number: number, kind: number, reader: FrameReader): void {
    const room = this.#byNumber.get(number);
    if (room !== undefined) this.#tell(room, kind, reader);
  }

  #open(room: Visited): void {
    const link = this.#link;
    if (link === null || this.#isHeld) return;
    this.#numbers = (this.#numbers + 1) >>> 0;
    room.number = this.#numbers;
    this.#byNumber.set(room.number, room);
    const frame = link.begin(KIND.open).u32(room.number).text(room.name);
    if (room.known === null) frame.byte(0).end();
    else frame.byte(1).position(room.known).end();
  }

  #close(room: Visited): void {
    room.isOpen = false;
    if (!this.#byNumber.delete(room.number)) return;
    this.#link?.begin(KIND.close).u32(room.number).end();
  }

  #tell(room: Visited, kind: number, reader: FrameReader): void {
    const { name, known } = room;
    switch (kind) {
      case KIND.opened: {
        const position = reader.position();
        room.isOpen = true;
        room.known ??= position;
        for (const { resolve } of room.waits) resolve(position);
        room.waits.clear();
        return;
      }
      case KIND.notOpened: {
        const refusal = new Refusal(reader.text() as RefusalCode, reader.rest());
        this.#byNumber.delete(room.number);
        // Messages of the room may have arrived before.
        room.isOpen = false;
        for (const { reject } of room.waits) reject(refusal);
        const hasMembers = known !== null;
        room.waits.clear();
        if (!hasMembers) this.#rooms.delete(name);
        // The room has members: it is reopened until that succeeds.
        else setTimeout(() => this.#openAgain(room), AGAIN_MS).unref();
        return;
      }
      case KIND.message: {
        const publication = reader.publication(name, (known as Position).epoch);
        const { seq, epoch } = publication;
        room.known = { seq, epoch };
        this.#events.deliver(publication);
        return;
      }
      case KIND.lost: {
        const to = reader.f64();
        const reason = REASONS[reader.byte()] ?? 'broker';
        room.known = { seq: to, epoch: (known as Position).epoch };
        this.#events.lost(name, to, reason);
        return;
      }
      case KIND.reset: {
        const position = reader.position();
        const was = reader.position();
        room.known = position;
        this.#events.reset(name, position, was);
        return;
      }
    }
  }

  #openAgain(room: Visited): void {
    if (room.isOpen || this.#rooms.get(room.name) !== room) return;
    if (!this.#byNumber.has(room.number)) this.#open(room);
  }
}
