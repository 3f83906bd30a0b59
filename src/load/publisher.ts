/**
 * One publisher: a connection that sends one room numbered, stamped messages. Not here: when it
 * sends (publishers.ts) and what becomes of the messages (session.ts).
 */
import { roomOfPublisher } from './assign.js';
import type { Crew } from './crew.js';
import { count } from './measure/tally.js';
import type { PublishCounters } from './measure/worker-report.js';
import { roomName } from './plan.js';
import type { Link, Sink } from './targets/target.js';

/** A publisher whose connection takes no more holds this much; what is due then is not sent. */
const BACKLOG_MAX = 1024 * 1024;
const READ_SIZE = 64 * 1024;
/** Who may not publish by then has failed. */
const READY_TIMEOUT_MS = 10_000;

/** The `Sink` of its connection, unless that is a member's. */
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
  /** It may publish, or could have until the server ended its connection. */
  #isReady = false;

  /**
   * @param onReady called once: the connection may publish, or has failed
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
   * Sends the message that was due at `due` (µs since the epoch), late if that is before `now`.
   * @param confirm ask the target for the message's number, where it has one
   * @returns false when the connection is gone or takes no more
   */
  publish(due: number, now: number, confirm: boolean): boolean {
    const { stamps, plan } = this.#crew;
    if (!this.#link || this.#link.backlog > BACKLOG_MAX) return false;
    const data = stamps.payload(plan.size, this.number, this.sent++, due, now - due);
    this.#link.publish(roomName(plan, this.room), data, confirm);
    this.#counters.sent++;
    return true;
  }

  /** Whether the target has told the number of its last message; of a member's link, of its room's. */
  get isConfirmed(): boolean {
    return this.#confirmed || (this.#borrowed && this.#crew.finals.has(this.room));
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#link?.close();
  }

  /** What is left of the connection after `close`, whatever the peer does. */
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

  /** Before it is ready, it is its join that is refused. */
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
