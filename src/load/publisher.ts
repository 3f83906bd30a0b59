/**
 * One publisher: a connection that publishes numbered, stamped messages to one room. Not here: when it
 * publishes (publishers.ts), what happens to the messages (session.ts).
 */
import { roomOfPublisher } from './assign.js';
import type { Crew } from './crew.js';
import { count } from './measure/tally.js';
import type { PublishCounters } from './measure/worker-report.js';
import { roomName } from './plan.js';
import type { Link, Sink } from './targets/target.js';

/** A publisher with more unsent bytes than this skips the messages that come due. */
const BACKLOG_MAX = 1024 * 1024;
const READ_SIZE = 64 * 1024;
/** A publisher that is not ready by then has failed. */
const READY_TIMEOUT_MS = 10_000;

/** The `Sink` of its own connection; a borrowed link has its member's sink. */
export class Publisher implements Sink {
  sent = 0;
  readonly room: number;
  readonly #crew: Crew;
  /** Its number over all rooms: `room × publishersPerRoom` and up. */
  readonly number: number;
  readonly #counters: PublishCounters;
  readonly #onReady: () => void;
  readonly #timer: NodeJS.Timeout;
  readonly #borrowed: boolean;
  #link: Link | undefined;
  #confirmed = false;
  /** True once it could publish; stays true after its connection ends. */
  #isReady = false;

  /**
   * @param onReady called once: the publisher may publish, or has failed
   * @param link a member's connection to publish on, instead of one of its own
   */
  constructor(
    crew: Crew,
    number: number,
    counters: PublishCounters,
    onReady: () => void,
    link?: Link,
  ) {
    this.room = roomOfPublisher(crew.plan, number);
    this.#crew = crew;
    this.number = number;
    this.#counters = counters;
    this.#onReady = onReady;
    this.#borrowed = link !== undefined;
    this.#link = link ?? crew.target.dial(this, { readSize: READ_SIZE });
    this.#timer = setTimeout(() => this.#giveUp('not ready within 10 s'), READY_TIMEOUT_MS);
    if (link) this.joined();
  }

  /**
   * Publishes the message that was due at `due` (µs since the epoch); it is late if that is before `now`.
   * @param confirm requests the message's number from the target, if it numbers messages
   * @returns false if the connection has ended or its backlog is full
   */
  publish(due: number, now: number, confirm: boolean): boolean {
    const { stamps, plan } = this.#crew;
    if (!this.#link || this.#link.backlog > BACKLOG_MAX) return false;
    const data = stamps.payload(plan.size, this.number, this.sent++, due, now - due);
    this.#link.publish(roomName(plan, this.room), data, confirm);
    this.#counters.sent++;
    return true;
  }

  /** Whether the target confirmed its last message; on a member's link, any message of its room. */
  get isConfirmed(): boolean {
    return this.#confirmed || (this.#borrowed && this.#crew.finals.has(this.room));
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#link?.close();
  }

  /** Resets what remains of the connection after `close`, whatever the peer does. */
  reset(): void {
    this.#link?.reset();
    this.#link = undefined;
  }

  open(): void {
    this.#link?.join(roomName(this.#crew.plan, this.room));
  }

  joined(): void {
    this.#isReady = true;
    this.#ready();
  }

  confirmed(room: string, seq: number): void {
    if (this.#crew.roomNamed(room) !== this.room) return;
    this.#confirmed = true;
    this.#crew.confirmed(room, seq);
  }

  /** Before the publisher is ready, a refusal concerns its join. */
  refused(code: string): void {
    if (!this.#isReady) {
      this.#giveUp(`refused: ${code}`);
      return;
    }
    count(this.#counters.refused, code);
    this.#crew.onAnswer?.();
  }

  closed(reason: string): void {
    if (!this.#link) return;
    this.#link = undefined;
    count(this.#isReady ? this.#counters.closes : this.#counters.failures, reason);
    this.#ready();
  }

  #giveUp(reason: string): void {
    const link = this.#link;
    this.closed(reason);
    link?.reset();
  }

  #ready(): void {
    clearTimeout(this.#timer);
    this.#onReady();
  }

  chunk(): void {}
  left(): void {}
  message(): void {}
  gap(): void {}
  past(): void {}
  answered(): void {}
  refusedPast(): void {}
}
