/**
 * One connection of a member: joins its rooms and receives messages. The hot path of the generator: for
 * each delivery it reads the stamp, checks it against the ledger and counts it, without an allocation.
 * Not here: when the member connects, stops reading or leaves (member.ts), how it reads (reading.ts).
 */
import { roomOfPublisher, roomSlotOf } from './assign.js';
import type { Crew } from './crew.js';
import { Backfill, type Range } from './measure/backfill.js';
import { Ledger } from './measure/ledger.js';
import { count, type Span, type Tally } from './measure/tally.js';
import { roomName } from './plan.js';
import { Reading } from './reading.js';
import { dueOf, lateOf, numberOf, publisherOf } from './stamp.js';
import type { DialOptions, Link, Sink } from './targets/target.js';

/** A member that was present for this long before publishing stopped, in µs, is owed the last messages:
 * not every target says when a join takes effect. */
const PRESENT = 1_000_000;

export class Session implements Sink {
  readonly link: Link;
  readonly reading: Reading;
  /** When anything last arrived, in µs since the epoch; 0 while it is not in all its rooms. */
  lastAt = 0;
  readonly #crew: Crew;
  readonly #tally: Tally;
  readonly #member: number;
  readonly #healthy: boolean;
  readonly #keepsPositions: boolean;
  readonly #rooms: number[];
  readonly #ledger: Ledger;
  readonly #onPresent: () => void;
  readonly #onClosed: (reason: string) => void;
  /** Requests what gaps named, if its cohort has `backfill`. */
  readonly #backfill: Backfill | undefined;
  /** By room: the epoch of its sequence numbers, for a session that rejoins with its position. */
  readonly #epochs: Map<number, string>;
  #absent: Set<number>;
  /** Rooms that it has asked to leave and is still in, until the server confirms. */
  readonly #leaving = new Set<number>();
  #joinsOnceLeft = false;
  #joining = 0;
  #now = 0;
  #ended = false;
  /** True once it leaves of its own accord, until it joins again. */
  #isAway = false;
  /** When it last became present in all its rooms, in µs since the epoch. */
  #presentSince = Number.POSITIVE_INFINITY;
  /** The connection has closed, from either side. */
  isClosed = false;
  /** The longest wait of a healthy member for a message that arrived after publishing stopped. */
  waited: Span = [0, 0];

  /**
   * @param cohort index into the plan's cohorts
   * @param before the earlier connection whose positions it resumes from, if any
   * @param onPresent called when it is in all its rooms, at first and after each rejoin
   * @param onClosed called when the server ended the connection, or it could not be opened
   */
  constructor(
    crew: Crew,
    member: number,
    cohort: number,
    before: Session | undefined,
    options: DialOptions,
    onPresent: () => void,
    onClosed: (reason: string) => void,
  ) {
    const { plan, target } = crew;
    this.#crew = crew;
    this.#tally = crew.tallies[cohort]!;
    this.#member = member;
    this.#healthy = cohort === 0;
    this.#rooms = crew.roomsOf(member);
    this.#absent = new Set(this.#rooms);
    this.#epochs = before ? before.#epochs : new Map();
    this.#ledger = before
      ? before.#ledger
      : new Ledger(
          target.numbered,
          plan.roomsPerMember,
          plan.publishersPerRoom,
          this.#tally.counters.faults,
        );
    const { since, backfill } = plan.cohorts[cohort]!;
    this.#keepsPositions = since;
    if (backfill) {
      this.#backfill = new Backfill(this.#tally.counters.backfill, this.#tally.backfills);
    }
    this.#onPresent = onPresent;
    this.#onClosed = onClosed;
    this.#joining = crew.now();
    this.#tally.counters.connects++;
    this.reading = new Reading(crew, this.#tally, () => this.link);
    this.link = target.dial(this, options);
  }

  get ended(): boolean {
    return this.#ended;
  }

  get present(): boolean {
    return this.#absent.size === 0 && !this.#ended;
  }

  isIn(room: number): boolean {
    return this.present && this.#rooms.includes(room);
  }

  // ── Commands ──

  /** Leaves every room, or returns false if the target has no leave command. */
  leaveRooms(): boolean {
    if (!this.present) return true;
    this.#isAway = true;
    for (const room of this.#rooms) this.#leaving.add(room);
    return this.#rooms.every((room) => this.link.leave(roomName(this.#crew.plan, room)));
  }

  joinRooms(): void {
    if (this.#ended) return;
    this.#isAway = false;
    // Messages in flight until the room is left precede the position of the next join, so wait for `left`.
    this.#joinsOnceLeft = this.#leaving.size > 0;
    if (this.#joinsOnceLeft) return;
    this.#joining = this.#crew.now();
    for (const room of this.#rooms) {
      const epoch = this.#epochs.get(room);
      const since =
        epoch === undefined ? undefined : { epoch, seq: this.#ledger.last(this.#slotOf(room)) };
      this.link.join(roomName(this.#crew.plan, room), since);
    }
  }

  /** Ends the connection from this side; `onClosed` is not called. */
  end(how: 'close' | 'reset'): void {
    this.#leave();
    this.#ended = true;
    this.link[how]();
  }

  /** Stops reading the connection but leaves it open. */
  abandon(): void {
    this.#leave();
    this.#ended = true;
    this.link.pause();
  }

  /** Number of messages it is still owed, given each room's or publisher's last number. */
  owed(finals: readonly number[]): number {
    const { plan, target } = this.#crew;
    const mine = this.#rooms.flatMap((room) =>
      target.numbered
        ? [finals[room]!]
        : finals.slice(room * plan.publishersPerRoom, (room + 1) * plan.publishersPerRoom),
    );
    const owesLast = this.#presentSince + PRESENT <= this.#crew.endedAt;
    return this.present ? this.#ledger.owed(mine, owesLast) : 0;
  }

  /** Checks its gaps against the last number of each room. */
  checkGaps(finals: readonly number[]): void {
    if (this.present) this.#ledger.end(this.#rooms.map((room) => finals[room]!));
  }

  /** Whether a backfill is under way or due. */
  get awaitsPast(): boolean {
    return this.#backfill?.isOwed ?? false;
  }

  /** Requests what gaps named, unless a request is under way; repeats refused requests. */
  askForPast(): void {
    const wanted = this.present ? this.#backfill?.ask(this.#crew.now()) : undefined;
    if (!wanted) return;
    const room = this.#rooms[wanted.slot]!;
    this.link.backfill(roomName(this.#crew.plan, room), wanted.from, wanted.to);
  }

  /** The drain has ended: requests without an answer stay unanswered. */
  endBackfill(): void {
    this.#backfill?.end();
  }

  // ── Events ──

  chunk(bytes: number, now: number): void {
    this.#now = now - this.#crew.epoch;
    this.#tally.counters.bytes += bytes;
    this.reading.took(bytes);
    if (this.#healthy) this.#crew.onArrival?.();
  }

  open(): void {
    this.joinRooms();
  }

  joined(name: string, seq: number, epoch: string, continues: boolean): void {
    const room = this.#crew.roomNamed(name);
    if (this.#ended || !this.#absent.delete(room)) return;
    const asked = this.#epochs.has(room);
    if (asked) this.#tally.counters[continues ? 'resumed' : 'restarted']++;
    if (!continues) this.#ledger.joined(this.#slotOf(room), seq, this.#crew.stage === 'before');
    if (this.#keepsPositions) this.#epochs.set(room, epoch);
    if (this.#absent.size > 0) return;
    const now = this.#crew.now();
    this.lastAt = now;
    this.#presentSince = now;
    this.#tally.counters.present++;
    this.#tally.joins.record(now - this.#joining);
    if (this.#healthy) this.#crew.readers(this.#rooms, 1);
    this.#onPresent();
  }

  left(name: string): void {
    if (this.#ended) return;
    const room = this.#crew.roomNamed(name);
    this.#leave();
    this.#absent.add(room);
    this.#leaving.delete(room);
    if (this.#joinsOnceLeft) this.joinRooms();
  }

  message(buf: Uint8Array, at: number, seq: number, roomAt: number): void {
    const { plan, progress } = this.#crew;
    const publisher = publisherOf(buf, at);
    const room = roomOfPublisher(plan, publisher);
    const slot = roomSlotOf(plan, this.#member, room);
    if (this.#ended || !(slot >= 0)) {
      if (!this.#ended) this.#tally.counters.faults.foreign++;
      return;
    }
    const { faults } = this.#tally.counters;
    if (roomAt >= 0 && !this.#crew.isNamed(room, buf, roomAt)) faults.foreign++;
    if (!this.#crew.stamps.isIntact(buf, at, plan.size)) faults.changed++;
    const due = dueOf(buf, at);
    const now = this.#now;
    const place = publisher - room * plan.publishersPerRoom;
    const number = numberOf(buf, at);
    this.#ledger.message(slot, place, number, seq);
    this.#backfill?.live(slot, place, number);
    const late = lateOf(buf, at);
    this.#tally.delivery(due, late, now);
    if (this.#healthy) {
      progress[room]!++;
      if (this.#crew.stage === 'after') this.#waitedSince(Math.max(this.lastAt, due + late), now);
    }
    this.lastAt = now;
    if (!this.#healthy) this.reading.message(due, now);
  }

  gap(name: string, from: number, to: number): void {
    if (this.#ended) return;
    const room = this.#crew.roomNamed(name);
    const slot = this.#slotOf(room);
    if (!(slot >= 0)) {
      this.#tally.counters.faults.wrongGaps++;
      return;
    }
    const missed = this.#ledger.gap(slot, from, to);
    this.#tally.counters.announced += missed;
    if (this.#healthy) this.#crew.progress[room]! += missed;
    this.#backfill?.gap(slot, from, to, this.#ledger.nextOf(slot));
    this.askForPast();
  }

  past(name: string, seq: number, buf: Uint8Array, at: number): void {
    if (this.#ended) return;
    const { plan, stamps } = this.#crew;
    const publisher = publisherOf(buf, at);
    const room = roomOfPublisher(plan, publisher);
    const isOfRoom = room === this.#crew.roomNamed(name);
    if (!stamps.isIntact(buf, at, plan.size)) this.#tally.counters.faults.changed++;
    const place = publisher - room * plan.publishersPerRoom;
    const slot = isOfRoom ? this.#slotOf(room) : -1;
    this.#backfill?.message(slot, seq, place, numberOf(buf, at));
  }

  answered(name: string, to: number, missing: readonly Range[]): void {
    if (this.#ended) return;
    const slot = this.#slotOf(this.#crew.roomNamed(name));
    this.#backfill?.answered(slot, to, missing, this.#crew.now());
    this.askForPast();
  }

  refusedPast(code: string): void {
    count(this.#tally.counters.backfill.refused, code);
    this.#backfill?.refused();
  }

  confirmed(name: string, seq: number): void {
    this.#crew.confirmed(name, seq);
  }

  /** While the session is not in all its rooms, a refusal concerns a join. */
  refused(code: string): void {
    if (this.#ended) return;
    const { counters } = this.#tally;
    if (this.present || this.#isAway) {
      count(counters.refused, code);
      this.#crew.onAnswer?.();
      return;
    }
    count(counters.failures, `refused: ${code}`);
    this.end('close');
    this.#onClosed(code);
  }

  closed(reason: string): void {
    this.isClosed = true;
    this.#crew.abandoned.delete(this.link);
    if (this.#ended) return;
    const { counters } = this.#tally;
    count(this.present || this.#isAway ? counters.closes : counters.failures, reason);
    this.reading.ended();
    this.#leave();
    this.#ended = true;
    this.#onClosed(reason);
  }

  #waitedSince(from: number, to: number): void {
    if (to - from > this.waited[1] - this.waited[0]) this.waited = [from, to];
  }

  #slotOf(room: number): number {
    return roomSlotOf(this.#crew.plan, this.#member, room);
  }

  /** Marks the session as no longer in all its rooms. */
  #leave(): void {
    this.#backfill?.cut();
    if (!this.present) return;
    this.#absent.add(this.#rooms[0]!);
    this.lastAt = 0;
    this.#tally.counters.present--;
    if (this.#healthy) this.#crew.readers(this.#rooms, -1);
  }
}
