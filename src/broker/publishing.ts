/**
 * Publishes that a broker answers later: each is over by the same time after it was asked, so that the
 * oldest is over first and one timer serves all. There may be thousands at once, several for each turn of the
 * loop, so that one is a promise and a record and nothing else.
 *
 * V8: all are one task, by the name of the call, while there is any.
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
  /** The wait of one has ended, however. */
  readonly #ended: (seconds: number) => void;
  /** What is said of one that has failed, or that `late` is said of. */
  readonly #refusal: (cause: unknown) => Error;
  readonly #late: () => Error;
  /** The oldest first. */
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

  /** `answer`, unless that comes too late, or `giveUp` before it. */
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

  /** None is waited for any longer. */
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

  /** False where it has ended before. */
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
