/**
 * The clock for timeouts of peers. It stops while the event loop is blocked: the peers' answers are then
 * in the kernel, not yet read by this server, and that is not their fault (V13).
 *
 * A tick every `TICK_MS` shows how late the loop is. Between two ticks the clock advances by at most
 * `MAX_STEP_MS`, whatever the wall clock says. After a late tick no peer times out before one more pass
 * of the loop has read the sockets.
 *
 * Not here: time that is only measured, such as latencies and lag (`time.ts`), and the server's own
 * deadlines, such as that of a shutdown.
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
/** If the loop takes longer than this, it counts as blocked. */
const MAX_STEP_MS = 75;

export class LoopClock {
  /** Value of this clock at the last tick. */
  #atTick = nowMs();
  /** `nowMs()` at the last tick. */
  #tickedAt = this.#atTick;
  /** False from a late tick until the sockets have been read again. */
  #hasRead = true;
  #hasClosed = false;
  readonly #ticks = setInterval(() => this.#tick(), TICK_MS).unref();

  /** Milliseconds for which the loop has run. */
  now(): number {
    return this.#atTick + Math.min(nowMs() - this.#tickedAt, MAX_STEP_MS);
  }

  /** True if a peer may time out: as far as known, everything it sent before `now()` has been read. */
  get mayJudge(): boolean {
    return this.#hasRead && nowMs() - this.#tickedAt <= MAX_STEP_MS;
  }

  /** Calls back once `ms` of this clock have passed and peers may time out. Returns a cancel function. */
  after(ms: number, callback: () => void): () => void {
    const due = this.now() + ms;
    let timer: NodeJS.Timeout;
    const wait = (delay: number) => {
      timer = setTimeout(() => {
        if (this.#hasClosed) return;
        const left = due - this.now();
        if (left <= 0 && this.mayJudge) callback();
        else wait(Math.max(left, 1));
      }, delay);
    };
    wait(ms);
    return () => clearTimeout(timer);
  }

  /** It calls nobody back any more (V8). */
  close(): void {
    this.#hasClosed = true;
    clearInterval(this.#ticks);
  }

  #tick(): void {
    const isLate = nowMs() - this.#tickedAt > MAX_STEP_MS;
    this.#atTick = this.now();
    this.#tickedAt = nowMs();
    if (!isLate) return;
    this.#hasRead = false;
    // Node runs timers before it reads sockets, and immediates after.
    setImmediate(() => {
      this.#hasRead = true;
    });
  }
}
