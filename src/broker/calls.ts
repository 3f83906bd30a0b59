/**
 * Calls of a broker that may hang: each has a name, a deadline and an end (V8). An answer that is
 * there at once comes back at once; one that is late, or a failure, is a Refusal.
 */
import { Refusal, shuttingDown } from '../errors.js';
import type { WaitGroup } from '../lock/index.js';
import { clearTimeout, nowMs, setTimeout } from '../time.js';
import type { Broker, MaybePromise, Payload, Position } from './broker.js';

export class BrokerCalls {
  readonly #broker: Broker;
  readonly #timeoutMs: number;
  readonly #tasks: WaitGroup;
  /** Of the calls that are not answered yet. */
  readonly #asked = new Set<AbortController>();
  /** For the next call: one costs 8 µs to make, and an answer that is there at once needs none. */
  #unused = new AbortController();
  #isOver = false;

  /** `tasks`: where calls under way are counted, by name. */
  constructor(broker: Broker, timeoutMs: number, tasks: WaitGroup) {
    this.#broker = broker;
    this.#timeoutMs = timeoutMs;
    this.#tasks = tasks;
  }

  /**
   * @throws Refusal `broker_unavailable` or `shutting_down`, as do the others, or `broker_uncertain`;
   *   as a rejection if later.
   */
  publish(room: string, payload: Payload, uid?: string): MaybePromise<Position> {
    const deadline = nowMs() + this.#timeoutMs;
    return this.#ask('publish', null, () => this.#broker.publish(room, payload, { deadline, uid }));
  }

  subscribe(room: string): MaybePromise<Position> {
    const asked = this.#unused;
    return this.#ask('subscribe', asked, () => this.#broker.subscribe(room, asked.signal));
  }

  unsubscribe(room: string): MaybePromise<void> {
    const asked = this.#unused;
    return this.#ask('unsubscribe', asked, () => this.#broker.unsubscribe(room, asked.signal));
  }

  /** Ends every wait; what fails from now on fails because of the shutdown. */
  abort(): void {
    this.#isOver = true;
    for (const asked of this.#asked) asked.abort(shuttingDown());
  }

  /** What a failed call, or a failed wait for one, means to whoever asked. */
  refusal(cause: unknown): Refusal {
    if (this.#isOver) return shuttingDown();
    if (cause instanceof Refusal) return cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    return new Refusal('broker_unavailable', `The broker could not do it: ${why}`);
  }

  #ask<T>(
    verb: string,
    asked: AbortController | null,
    ask: () => MaybePromise<T>,
  ): MaybePromise<T> {
    let answer: MaybePromise<T>;
    try {
      answer = ask();
    } catch (error) {
      throw this.refusal(error);
    }
    if (!(answer instanceof Promise)) return answer;
    if (asked === this.#unused) this.#unused = new AbortController();
    return this.#await(verb, asked ?? new AbortController(), answer);
  }

  #await<T>(verb: string, asked: AbortController, answer: Promise<T>): Promise<T> {
    return this.#tasks.go(`broker ${verb}`, async () => {
      const timer = setTimeout(() => {
        const what = `no answer to ${verb} within ${this.#timeoutMs} ms`;
        asked.abort(verb === 'publish' ? uncertain(what) : new Error(what));
      }, this.#timeoutMs);
      this.#asked.add(asked);
      try {
        return await Promise.race([answer, rejection(asked.signal)]);
      } catch (error) {
        throw this.refusal(error);
      } finally {
        clearTimeout(timer);
        this.#asked.delete(asked);
      }
    });
  }
}

const rejection = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });

/** The broker has been asked, and may or may not have done it. */
const uncertain = (what: string) =>
  new Refusal('broker_uncertain', `It may have been published, or not: ${what}.`);
