/**
 * The clock by which peers are judged. It does not run on while the event loop stands still: the
 * answers of the peers lie in the kernel then, unread by us, and that is not their fault (V13).
 *
 * One tick a few times a second shows how late the loop is. Between two ticks the clock advances by
 * at most `MAX_STEP_MS`, whatever the wall says, and after a late tick nobody is judged before the
 * loop has been round once more, which reads the sockets.
 *
 * Not here: time that is only measured, such as latencies and lag (`time.ts`), and deadlines that
 * we set ourselves, such as that of a shutdown.
 */
import {
  clearInterval,
  clearTimeout,
  nowMs,
  setImmediate,
  setInterval,
  setTimeout,
} from './time.js';

const TICK_MS = 25;
/** A loop that comes round within this time is one that runs. */
const MAX_STEP_MS = 75;

export class LoopClock {
  /** What the clock said at the last tick. */
  #atTick = nowMs();
  /** When that was. */
  #tickedAt = this.#atTick;
  /** The sockets have been read since the loop stood still. */
  #hasRead = true;
  readonly #ticks = setInterval(() => this.#tick(), TICK_MS).unref();

  /** Milliseconds in which the loop has run. */
  now(): number {
    return this.#atTick + Math.min(nowMs() - this.#tickedAt, MAX_STEP_MS);
  }

  /** Whether a peer may be judged: what it has sent by `now()` has been read, as far as we know. */
  get mayJudge(): boolean {
    return this.#hasRead && nowMs() - this.#tickedAt <= MAX_STEP_MS;
  }

  /** Calls back once, when this much time has passed and peers may be judged. Returns what cancels it. */
  after(ms: number, callback: () => void): () => void {
    const due = this.now() + ms;
    let timer: NodeJS.Timeout;
    const wait = (delay: number) => {
      timer = setTimeout(() => {
        const left = due - this.now();
        if (left <= 0 && this.mayJudge) callback();
        else wait(Math.max(left, 1));
      }, delay);
    };
    wait(ms);
    return () => clearTimeout(timer);
  }

  close(): void {
    clearInterval(this.#ticks);
  }

  #tick(): void {
    const isLate = nowMs() - this.#tickedAt > MAX_STEP_MS;
    this.#atTick = this.now();
    this.#tickedAt = nowMs();
    if (!isLate) return;
    this.#hasRead = false;
    // Timers run before sockets are read, immediates after.
    setImmediate(() => {
      this.#hasRead = true;
    });
  }
}
