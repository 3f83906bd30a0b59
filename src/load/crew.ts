/**
 * State that the members and publishers of one worker share: the plan, the clock, the tallies, and each
 * room's progress, which paces closed-loop publishers. Not here: the phases (engine.ts).
 */
import { firstRoomOf, workerOfMember, workerOfRoom } from './assign.js';
import { machineMicros } from './clock.js';
import { Tally } from './measure/tally.js';
import { type Plan, roomName } from './plan.js';
import type { Stamps } from './stamp.js';
import type { Link, Target } from './targets/target.js';
import type { Address } from './wire/wire.js';

/** Bytes at the end of a room's name that are compared: its number (up to 5 digits), the closing quote. */
const COMPARED = 6;

export class Crew {
  /** One per cohort, in the plan's order. */
  readonly tallies: readonly Tally[];
  /** By room: messages that this worker's healthy members have received or that gaps have named, summed. */
  readonly progress: Float64Array;
  /** By room: number of this worker's healthy members. */
  readonly #readers: Float64Array;
  readonly #roomByName = new Map<string, number>();
  /** By room: its name as a JSON string. */
  readonly #names: readonly Buffer[];
  /** By room: the highest sequence number of a confirmed publish. */
  readonly finals = new Map<number, number>();
  /** Connections that members have abandoned (unread or half closed) and the server has not ended yet. */
  readonly abandoned = new Set<Link>();
  /** Members that join `before` publishing are owed every message; recoveries count while `publishing`. */
  stage: 'before' | 'publishing' | 'after' = 'before';
  /** When the stage `after` began, in µs since the epoch. */
  endedAt = Number.POSITIVE_INFINITY;
  /** Called for every confirmed or refused publish; `onArrival` for every chunk a healthy member reads. */
  onAnswer: (() => void) | undefined;
  onArrival: (() => void) | undefined;

  /**
   * @param stamps of this run, the same that `target` uses
   * @param epoch zero of the run's clock, in µs of the machine's
   * @param via by cohort: the proxy through which its members connect
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

  /** Numbers of the members this worker runs. */
  members(): number[] {
    const all = Array.from({ length: this.plan.members }, (_, member) => member);
    return all.filter((member) => workerOfMember(this.plan, member) === this.worker);
  }

  /** Numbers of the publishers this worker runs, rising. */
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

  /** The room's index, or -1 if the room does not belong to this run. */
  roomNamed(name: string): number {
    return this.#roomByName.get(name) ?? -1;
  }

  /**
   * Whether the JSON string at `buf[at]` is the room's name. Compares only its end: the rooms of a run
   * differ in their number, and every delivery pays for each compared byte.
   */
  isNamed(room: number, buf: Uint8Array, at: number): boolean {
    const name = this.#names[room]!;
    for (let i = name.length - COMPARED; i < name.length; i++) {
      if (buf[at + i] !== name[i]) return false;
    }
    return true;
  }

  /**
   * Healthy members join (1) or leave (-1) rooms. Scales the progress with the number of readers, so that
   * a new member does not count as behind and one that has left does not hold the publishers up.
   */
  readers(rooms: readonly number[], change: 1 | -1): void {
    for (const room of rooms) {
      const before = this.#readers[room]!;
      const mean = before > 0 ? this.progress[room]! / before : 0;
      this.#readers[room] = before + change;
      this.progress[room] = mean * (before + change);
    }
  }

  /** Messages of a room that its healthy members here have processed, on average; -∞ without members. */
  seen(room: number): number {
    const readers = this.#readers[room]!;
    return readers > 0 ? this.progress[room]! / readers : Number.NEGATIVE_INFINITY;
  }

  /** Sets a room's progress to `sent`: gives up the messages that are still in flight. */
  forgive(room: number, sent: number): void {
    this.progress[room] = sent * this.#readers[room]!;
  }

  confirmed(name: string, seq: number): void {
    const room = this.roomNamed(name);
    // Rooms that do not belong to this run confirm nothing.
    if (room < 0) return;
    this.finals.set(room, Math.max(seq, this.finals.get(room) ?? 0));
    this.onAnswer?.();
  }
}
