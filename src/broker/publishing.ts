/**
 * Waits for publishes that a broker answers asynchronously. All have the same timeout, so the oldest
 * expires first and one timer serves all. Thousands may be pending at once, several per turn of the
 * loop, so each costs only a promise and a record.
 *
 * V8: while any is pending, they count as one task, named after the call.
 */
import { Line, type Queued } from '../line.js';
import type { WaitGroup } from '../lock/index.js';
import { clearTimeout, nowMs, setTimeout } from '../time.js';
import type { Position } from './broker.js';

interface Waiting extends Queued<Waiting> {
  readonly askedAt: number;
  readonly reject: (cause: unknown) => void;
}

export class Publishing {
  readonly #timeoutMs: number;
  readonly #tasks: WaitGroup;
  /** Called when a wait ends, whatever its outcome. */
  readonly #ended: (seconds: number) => void;
  /** Maps the cause of a failure, or the result of `late`, to the error that the publisher gets. */
  readonly #refusal: (cause: unknown) => Error;
  readonly #late: () => Error;
  /** Oldest first. */
  readonly #waiting = new Line<Waiting>();
  #timer: NodeJS.Timeout | undefined;
  #done: () => void = () => {};

  constructor(options: {
    readonly timeoutMs: number;
    readonly tasks: WaitGroup;
    readonly ended: (seconds: number) => void;
    readonly refusal: (cause: unknown) => Error;
    readonly late: () => Error;
  }) {
    this.#timeoutMs = options.timeoutMs;
    this.#tasks = options.tasks;
    this.#ended = options.ended;
    this.#refusal = options.refusal;
    this.#late = options.late;
  }

  /** Resolves as `answer` does, unless the timeout or `giveUp` comes first. */
  wait(answer: PromiseLike<Position>): Promise<Position> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { askedAt: nowMs(), reject, line: null, before: null, after: null };
      if (this.#waiting.size === 0) this.#begin();
      this.#waiting.add(waiting);
      Promise.resolve(answer).then(
        (position) => {
          if (this.#end(waiting)) resolve(position);
        },
        (cause: unknown) => this.#refuse(waiting, cause),
      );
    });
  }

  /** Rejects all pending publishes. */
  giveUp(cause: Error): void {
    for (let waiting = this.#waiting.first; waiting !== null; waiting = this.#waiting.first) {
      this.#refuse(waiting, cause);
    }
  }

  #begin(): void {
    this.#done = this.#tasks.add('broker publish');
    this.#timer = setTimeout(() => this.#expire(), this.#timeoutMs);
  }

  #expire(): void {
    const until = nowMs() - this.#timeoutMs;
    for (let waiting = this.#waiting.first; waiting !== null; waiting = this.#waiting.first) {
      if (waiting.askedAt > until) {
        this.#timer = setTimeout(() => this.#expire(), waiting.askedAt - until);
        return;
      }
      this.#refuse(waiting, this.#late());
    }
  }

  #refuse(waiting: Waiting, cause: unknown): void {
    if (this.#end(waiting)) waiting.reject(this.#refusal(cause));
  }

  /** Returns false if the wait had already ended. */
  #end(waiting: Waiting): boolean {
    if (!this.#waiting.delete(waiting)) return false;
    this.#ended((nowMs() - waiting.askedAt) / 1e3);
    if (this.#waiting.size === 0) {
      clearTimeout(this.#timer);
      this.#done();
    }
    return true;
  }
}
