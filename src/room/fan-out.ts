/**
 * The loop that carries messages from rooms to members: dirty rooms are flushed in turn, once a
 * turn of the event loop, so that everything published in a turn goes out joined. A run longer
 * than `SLICE_MS` yields and goes on in the next turn, other rooms first: a room of 50,000 must not
 * delay a join elsewhere.
 */
import type { CloseReason } from '../errors.js';
import { nowMs, setImmediate } from '../time.js';
import type { Member } from './member.js';
import type { Observer } from './observer.js';
import type { Room } from './room.js';

/** How long a run may keep the event loop, in milliseconds. */
const SLICE_MS = 5;

export class FanOut {
  readonly #observer: Observer;
  readonly #evict: (member: Member, reason: CloseReason) => void;
  /** Rooms with something to flush, in turn; a Set keeps each once. */
  readonly #rooms = new Set<Room>();
  #awake: Member[] = [];
  #evictions: { member: Member; reason: CloseReason }[] = [];
  #scheduled = false;
  readonly #run = () => this.run();

  constructor(observer: Observer, evict: (member: Member, reason: CloseReason) => void) {
    this.#observer = observer;
    this.#evict = evict;
  }

  /** The room has something pending. */
  mark(room: Room): void {
    this.#rooms.add(room);
    this.#schedule();
  }

  /** The member has control frames to send. */
  wake(member: Member): void {
    this.#awake.push(member);
    this.#schedule();
  }

  /** The member is to be evicted once nobody is in the middle of a loop over members. */
  doom(member: Member, reason: CloseReason): void {
    this.#evictions.push({ member, reason });
    this.#schedule();
  }

  /** One turn. Public for tests with a clock of their own. */
  run(): void {
    this.#scheduled = false;
    const start = nowMs();
    const awake = this.#awake;
    this.#awake = [];
    for (const member of awake) member.drain();
    for (const room of this.#rooms) {
      this.#rooms.delete(room);
      const done = room.flush(start + SLICE_MS, this.#observer, this.#doom);
      if (!done) this.#rooms.add(room);
      if (nowMs() >= start + SLICE_MS) break;
    }
    const evictions = this.#evictions;
    this.#evictions = [];
    for (const { member, reason } of evictions) this.#evict(member, reason);
    this.#observer.flushed((nowMs() - start) / 1000);
    if (this.#rooms.size > 0) this.#schedule();
  }

  readonly #doom = (member: Member, reason: CloseReason) => this.doom(member, reason);

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#run);
  }
}
