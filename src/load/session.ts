/**
 * One connection of a member: what it joins, what it hears. The hot path of the generator: a
 * delivery is read from its stamp, checked against the ledger and counted, without an allocation.
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

/** Who has been there for this long before the end, in µs, has the last messages to come: not every
 * target says when a join has taken effect. */
const PRESENT = 1_000_000;

export class Session implements Sink {
  readonly link: Link;
  readonly reading: Reading;
  /** When anything last arrived, in µs since the epoch; 0 while not in all rooms. */
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
  /** What it asks for again, where it does. */
  readonly #backfill: Backfill | undefined;
  /** What the numbers of its rooms are counted in, of those it joins again with its position. */
  readonly #epochs: Map<number, string>;
  #absent: Set<number>;
  /** Rooms that it has asked to leave, and is still in as far as it knows. */
  readonly #leaving = new Set<number>();
  #joinsOnceLeft = false;
  #joining = 0;
  #now = 0;
  #ended = false;
  /** Has left of its own accord, or is about to have. */
  #isAway = false;
  /** When it was last in all rooms for the first time since it was not, in µs since the epoch. */
  #presentSince = Number.POSITIVE_INFINITY;
  /** The connection is no more, whoever has ended it. */
  isClosed = false;
  /** The longest wait of a healthy member that ended after publishing had: it was owed something. */
  waited: Span = [0, 0];

  /**
   * @param cohort index into the plan's cohorts
   * @param before the connection whose positions it goes on from, if it does
   * @param onPresent in all rooms now, for the first time or again
   * @param onClosed the server ended it, or it could not be opened
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

  // ── What it is told to do ──

  /** Leaves every room, or returns false when the target knows no leaving. */
  leaveRooms(): boolean {
    if (!this.present) return true;
    this.#isAway = true;
    for (const room of this.#rooms) this.#leaving.add(room);
    return this.#rooms.every((room) => this.link.leave(roomName(this.#crew.plan, room)));
  }

  joinRooms(): void {
    if (this.#ended) return;
    this.#isAway = false;
    // What is on its way until it has left is before the position that it then joins with.
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

  /** Ends the connection from this side; `onClosed` does not follow. */
  end(how: 'close' | 'reset'): void {
    this.#leave();
    this.#ended = true;
    this.link[how]();
  }

  /** Stops listening to the connection but leaves it open, unread. */
  abandon(): void {
    this.#leave();
    this.#ended = true;
    this.link.pause();
  }

  /** What it is still owed, given each room's or publisher's last number. */
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

  /** Whether an answer to what it has asked for, or will ask for, is to come. */
  get awaitsPast(): boolean {
    return this.#backfill?.isOwed ?? false;
  }

  /** Asks for what gaps have named, where nothing is under way: also again, if that was refused. */
  askForPast(): void {
    const wanted = this.present ? this.#backfill?.ask(this.#crew.now()) : undefined;
    if (!wanted) return;
    const room = this.#rooms[wanted.slot]!;
    this.link.backfill(roomName(this.#crew.plan, room), wanted.from, wanted.to);
  }

  /** The drain has ended: what is not answered by now is not. */
  endBackfill(): void {
    this.#backfill?.end();
  }

  // ── What it hears ──

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

  /** While it is not in all its rooms, it is the join that is refused. */
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

  /** No longer in all rooms. */
  #leave(): void {
    this.#backfill?.cut();
    if (!this.present) return;
    this.#absent.add(this.#rooms[0]!);
    this.lastAt = 0;
    this.#tally.counters.present--;
    if (this.#healthy) this.#crew.readers(this.#rooms, -1);
  }
}
