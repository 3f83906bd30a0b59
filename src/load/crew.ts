/**
 * What the members and publishers of one worker share: the plan, the clock, the tallies, and each
 * room's progress, by which closed-loop publishers go. Not here: the phases (engine.ts).
 */
import { firstRoomOf, workerOfMember, workerOfRoom } from './assign.js';
import { machineMicros } from './clock.js';
import { Tally } from './measure/tally.js';
import { type Plan, roomName } from './plan.js';
import type { Stamps } from './stamp.js';
import type { Link, Target } from './targets/target.js';
import type { Address } from './wire/wire.js';

/** Of a room's name as JSON: its number, of up to five digits, and the quote behind it. */
const COMPARED = 6;

export class Crew {
  /** One a cohort, in the plan's order. */
  readonly tallies: readonly Tally[];
  /** By room: messages that healthy members here have received or know to be dropped, summed. */
  readonly progress: Float64Array;
  /** By room: healthy members here. */
  readonly #readers: Float64Array;
  readonly #roomByName = new Map<string, number>();
  /** By room: its name as JSON. */
  readonly #names: readonly Buffer[];
  /** By room: the highest number a confirmed publish got. */
  readonly finals = new Map<number, number>();
  /** Connections that members have left behind and the server has not ended: unread, or half closed. */
  readonly abandoned = new Set<Link>();
  /** Who joins `before` publishing is owed every message; who is up to date `after` it says little. */
  stage: 'before' | 'publishing' | 'after' = 'before';
  /** When the last stage began, in µs since the epoch. */
  endedAt = Number.POSITIVE_INFINITY;
  /** Told of every confirmed or refused publish, and of everything that reaches a healthy member. */
  onAnswer: (() => void) | undefined;
  onArrival: (() => void) | undefined;

  /**
   * @param stamps of this run, which `target` knows too
   * @param epoch zero of the run's clock, in µs of the machine's
   * @param via by cohort: the proxy its members connect through
   */
  constructor(
    readonly plan: Plan,
    readonly worker: number,
    readonly epoch: number,
    readonly stamps: Stamps,
    readonly target: Target,
    readonly via: readonly (Address | undefined)[],
  ) {
    this.tallies = plan.cohorts.map(() => new Tally(plan.phases.length));
    this.progress = new Float64Array(plan.rooms);
    this.#readers = new Float64Array(plan.rooms);
    const names = Array.from({ length: plan.rooms }, (_, room) => roomName(plan, room));
    for (const [room, name] of names.entries()) this.#roomByName.set(name, room);
    this.#names = names.map((name) => Buffer.from(JSON.stringify(name)));
  }

  /** µs since the epoch. */
  now(): number {
    return machineMicros() - this.epoch;
  }

  /** Numbers of this worker's members. */
  members(): number[] {
    const all = Array.from({ length: this.plan.members }, (_, member) => member);
    return all.filter((member) => workerOfMember(this.plan, member) === this.worker);
  }

  /** Numbers of this worker's publishers, rising. */
  publishers(): number[] {
    const { rooms, publishersPerRoom } = this.plan;
    const all = Array.from({ length: rooms * publishersPerRoom }, (_, publisher) => publisher);
    return all.filter(
      (publisher) =>
        workerOfRoom(this.plan, Math.floor(publisher / publishersPerRoom)) === this.worker,
    );
  }

  roomsOf(member: number): number[] {
    const first = firstRoomOf(this.plan, member);
    return Array.from(
      { length: this.plan.roomsPerMember },
      (_, slot) => (first + slot) % this.plan.rooms,
    );
  }

  /** The room's index, or -1 for a room that is none of this run's. */
  roomNamed(name: string): number {
    return this.#roomByName.get(name) ?? -1;
  }

  /**
   * Whether the JSON string at `buf[at]` is the room's name, going by its end: rooms of a run differ in
   * their number, and every delivery pays for each byte that is compared.
   */
  isNamed(room: number, buf: Uint8Array, at: number): boolean {
    const name = this.#names[room]!;
    for (let i = name.length - COMPARED; i < name.length; i++) {
      if (buf[at + i] !== name[i]) return false;
    }
    return true;
  }

  /** Healthy members of rooms come or go; who comes is not behind, who goes holds nobody up. */
  readers(rooms: readonly number[], change: 1 | -1): void {
    for (const room of rooms) {
      const before = this.#readers[room]!;
      const mean = before > 0 ? this.progress[room]! / before : 0;
      this.#readers[room] = before + change;
      this.progress[room] = mean * (before + change);
    }
  }

  /** Messages of a room that its healthy members here are through, on average; -∞ without any. */
  seen(room: number): number {
    const readers = this.#readers[room]!;
    return readers > 0 ? this.progress[room]! / readers : Number.NEGATIVE_INFINITY;
  }

  /** Takes up a room's count at `sent`: what was in flight until now is given up. */
  forgive(room: number, sent: number): void {
    this.progress[room] = sent * this.#readers[room]!;
  }

  confirmed(name: string, seq: number): void {
    const room = this.roomNamed(name);
    // A number of no room of the run confirms nothing.
    if (room < 0) return;
    this.finals.set(room, Math.max(seq, this.finals.get(room) ?? 0));
    this.onAnswer?.();
  }
}
