/**
 * Removes disconnected members from the rooms they were in. What is held for such a member is released
 * at once and the member stops counting. Removing it from the room lists and closing rooms that become
 * empty takes at most `SLICE_MS` per event loop turn: a thousand members with a hundred rooms each that
 * disconnect together would otherwise block the loop for more than a second.
 *
 * V7: shutdown waits for it as one of the hub's tasks.
 */
import type { WaitGroup } from '../lock/index.js';
import { nowMs, setImmediate } from '../time.js';
import type { Room } from './room.js';
import type { Subscription } from './subscription.js';

/** Maximum milliseconds per event loop turn. */
const SLICE_MS = 5;

interface Departure {
  readonly room: Room;
  readonly subscription: Subscription;
}

export class Departures {
  readonly #tasks: WaitGroup;
  readonly #closeIfEmpty: (room: Room) => void;
  #waiting: Departure[] = [];
  /** Index of the next entry of `#waiting`. */
  #next = 0;
  /** Milliseconds used in this event loop turn. */
  #spentMs = 0;
  #isScheduled = false;
  /** Ends the task that shutdown waits for; null while nothing waits. */
  #done: (() => void) | null = null;

  constructor(tasks: WaitGroup, closeIfEmpty: (room: Room) => void) {
    this.#tasks = tasks;
    this.#closeIfEmpty = closeIfEmpty;
  }

  /** `subscription` has departed from `room`. Call `run` once all rooms of the member are added. */
  add(room: Room, subscription: Subscription): void {
    this.#waiting.push({ room, subscription });
  }

  /** Removes entries while the slice lasts; the rest follows in later turns. */
  run(): void {
    const started = nowMs();
    const deadline = started + SLICE_MS - this.#spentMs;
    let now = started;
    while (this.#next < this.#waiting.length && now < deadline) {
      const { room, subscription } = this.#waiting[this.#next] as Departure;
      this.#next += 1;
      room.remove(subscription);
      this.#closeIfEmpty(room);
      now = nowMs();
    }
    this.#spentMs += now - started;
    if (this.#next === this.#waiting.length) {
      this.#waiting = [];
      this.#next = 0;
      this.#done?.();
      this.#done = null;
    } else {
      this.#done ??= this.#tasks.add('departures');
    }
    if (this.#isScheduled || this.#spentMs === 0) return;
    this.#isScheduled = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#isScheduled = false;
    this.#spentMs = 0;
    if (this.#waiting.length > 0) this.run();
  }
}
