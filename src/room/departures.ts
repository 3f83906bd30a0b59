/**
 * Members that are gone, on their way out of the rooms they were in. What is held for such a member
 * is let go of at once, and it counts nowhere from then on; taking it out of the lists of its rooms,
 * and telling the broker of rooms that are empty, takes `SLICE_MS` of a turn of the loop at most: a
 * thousand members with a hundred rooms each that vanish together would keep it for more than a second.
 *
 * V7: a shutdown waits for it, by the group of the hub's tasks.
 */
import type { WaitGroup } from '../lock/index.js';
import { nowMs, setImmediate } from '../time.js';
import type { Room } from './room.js';
import type { Subscription } from './subscription.js';

/** Milliseconds of a turn of the loop. */
const SLICE_MS = 5;

interface Departure {
  readonly room: Room;
  readonly subscription: Subscription;
}

export class Departures {
  readonly #tasks: WaitGroup;
  readonly #closeIfEmpty: (room: Room) => void;
  #waiting: Departure[] = [];
  /** Next place in `#waiting`. */
  #next = 0;
  /** Milliseconds taken in this turn of the loop. */
  #spentMs = 0;
  #isScheduled = false;
  /** Ends what a shutdown waits for; null while nothing waits. */
  #done: (() => void) | null = null;

  constructor(tasks: WaitGroup, closeIfEmpty: (room: Room) => void) {
    this.#tasks = tasks;
    this.#closeIfEmpty = closeIfEmpty;
  }

  /** `subscription` has departed from `room`. Call `run` when all of a member's are told. */
  add(room: Room, subscription: Subscription): void {
    this.#waiting.push({ room, subscription });
  }

  /** Takes them out as far as the turn allows; the others follow in the next. */
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
