/**
 * The loop that carries messages from rooms to members. It flushes dirty rooms in turn, once per turn of
 * the event loop, so that everything published in one turn goes out joined. A run longer than `SLICE_MS`
 * yields and continues in the next turn, other rooms first: a room of 50,000 must not delay a join
 * elsewhere, nor may ten thousand members that are welcomed or evicted at once. Replays, presence and
 * backfills get the time that is left: live messages go first (`replays.ts`, `backfills.ts`).
 */
import type { CloseReason } from '../errors.js';
import { Line } from '../line.js';
import { survive, survived } from '../survived.js';
import { nowMs, setImmediate } from '../time.js';
import type { Member } from './member.js';
import type { Observer } from './observer.js';
import type { Room } from './room.js';
import type { Trace } from './trace.js';

/** Time slice of one run, in milliseconds. */
const SLICE_MS = 5;

/** Work that runs after the live messages of a run. */
export interface Late {
  readonly isReady: boolean;
  /** Continues until `deadline`, by `nowMs()`; does at least one step. */
  run(deadline: number): void;
}

export class FanOut {
  readonly #observer: Observer;
  /** In the order in which they run. */
  readonly #late: readonly Late[];
  readonly #evict: (member: Member, reason: CloseReason) => void;
  /** Rooms with something to flush, in turn. */
  readonly #rooms = new Line<Room>();
  #awake: Member[] = [];
  #evictions: { member: Member; reason: CloseReason }[] = [];
  #scheduled = false;
  readonly #trace: Trace | null;
  readonly #run = () => this.run();

  constructor(
    observer: Observer,
    late: readonly Late[],
    evict: (member: Member, reason: CloseReason) => void,
    trace: Trace | null = null,
  ) {
    this.#observer = observer;
    this.#trace = trace;
    this.#late = late;
    this.#evict = evict;
  }

  /** Schedules a flush of a room with pending messages. */
  mark(room: Room): void {
    this.#rooms.add(room);
    this.schedule();
  }

  /** Schedules a drain of a member's outbox. */
  wake(member: Member): void {
    this.#awake.push(member);
    this.schedule();
  }

  /** Schedules an eviction, outside all loops over members. */
  evictLater(member: Member, reason: CloseReason): void {
    this.#evictions.push({ member, reason });
    this.schedule();
  }

  /** One run. Public for tests with their own clock. */
  run(): void {
    this.#scheduled = false;
    const start = nowMs();
    const end = start + SLICE_MS;
    if (this.#awake.length > 0) this.#drainAwake(end);
    for (let room = this.#rooms.first; room !== null; room = this.#rooms.first) {
      this.#rooms.delete(room);
      if (!this.#flush(room, end)) this.#rooms.add(room);
      if (nowMs() >= end) break;
    }
    for (const late of this.#late) if (late.isReady) goOn(late, end);
    if (this.#evictions.length > 0) this.#runEvictions(end);
    this.#observer.flushed((nowMs() - start) / 1000);
    const left = this.#rooms.size + this.#awake.length + this.#evictions.length;
    if (left > 0 || this.#late.some(({ isReady }) => isReady)) this.schedule();
  }

  #drainAwake(end: number): void {
    const awake = this.#awake;
    this.#awake = [];
    const asleep = each(awake, end, (member) => {
      try {
        member.outbox.drain();
      } catch (error) {
        survive(error);
        this.evictLater(member, 'internal_error');
      }
    });
    this.#awake = [...asleep, ...this.#awake];
  }

  #runEvictions(end: number): void {
    const evictions = this.#evictions;
    this.#evictions = [];
    const later = each(
      evictions,
      end,
      survived(({ member, reason }) => this.#evict(member, reason)),
    );
    this.#evictions = [...later, ...this.#evictions];
  }

  /** Returns whether the room is done. V12: an exception in one room does not stop the others. */
  #flush(room: Room, end: number): boolean {
    try {
      return room.flush(end, this.#observer, this.#evictLater, this.#trace);
    } catch (error) {
      survive(error);
      return true;
    }
  }

  readonly #evictLater = (member: Member, reason: CloseReason) => this.evictLater(member, reason);

  /** Schedules a run, unless one is scheduled. */
  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#run);
  }
}

/** V12: an exception in one stops neither the others nor the evictions after them. */
const goOn = survived((late: Late, end: number) => late.run(end));

/** Calls `act` for each item until `end`, at least for the first. Returns the remaining items. */
function each<T>(all: readonly T[], end: number, act: (one: T) => void): readonly T[] {
  for (let next = 0; next < all.length; ) {
    act(all[next] as T);
    next += 1;
    if (nowMs() >= end) return all.slice(next);
  }
  return [];
}
