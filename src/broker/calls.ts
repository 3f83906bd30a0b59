/**
 * Wraps broker calls that may hang: each has a name, a deadline and an end (V8). A synchronous answer
 * is returned synchronously; a timeout or a failure becomes a Refusal.
 *
 * Not here: how publishes wait (`publishing.ts`).
 */
import { Refusal, shuttingDown } from '../errors.js';
import type { WaitGroup } from '../lock/index.js';
import { isThenable } from '../thenable.js';
import { clearTimeout, nowMs, setTimeout } from '../time.js';
import type { Broker, MaybePromise, Past, Payload, Position, Range } from './broker.js';
import { Publishing } from './publishing.js';

export const CALLS = [
  'publish',
  'subscribe',
  'unsubscribe',
  'settled',
  'history',
  'purge',
] as const;
export type Call = (typeof CALLS)[number];

/** Receives metrics of calls that were not answered synchronously. */
export interface CallObserver {
  /** A wait has ended, with an answer or without one. */
  brokerAnswered(call: Call, seconds: number): void;
  /** A publish was refused with `broker_uncertain`. */
  brokerUncertain(): void;
}

export class BrokerCalls {
  readonly #broker: Broker;
  readonly #timeoutMs: number;
  readonly #tasks: WaitGroup;
  readonly #observer: CallObserver;
  readonly #publishing: Publishing;
  /** Pending calls, except publishes. */
  readonly #asked = new Set<AbortController>();
  /** Reused until a call needs it: creating one costs 8 µs, and a synchronous answer needs none. */
  #unused = new AbortController();
  #isOver = false;

  /** `tasks` counts pending calls, by name. */
  constructor(broker: Broker, timeoutMs: number, tasks: WaitGroup, observer: CallObserver) {
    this.#broker = broker;
    this.#timeoutMs = timeoutMs;
    this.#tasks = tasks;
    this.#observer = observer;
    this.#publishing = new Publishing({
      timeoutMs,
      tasks,
      ended: (seconds) => observer.brokerAnswered('publish', seconds),
      late: () => uncertain(`no answer to publish within ${timeoutMs} ms`),
      refusal: (cause) => {
        const refusal = this.refusal(cause);
        if (refusal.code === 'broker_uncertain') observer.brokerUncertain();
        return refusal;
      },
    });
  }

  /**
   * @throws Refusal `broker_unavailable` or `shutting_down`, as all calls do, or `broker_uncertain`; as
   *   a rejection if the answer is asynchronous.
   */
  publish(room: string, payload: Payload, uid?: string): MaybePromise<Position> {
    const deadline = nowMs() + this.#timeoutMs;
    let answer: MaybePromise<Position>;
    // Does not use `#ask`, which would allocate a closure per message.
    try {
      answer = this.#broker.publish(room, payload, { deadline, uid });
    } catch (error) {
      throw this.refusal(error);
    }
    return isThenable(answer) ? this.#publishing.wait(answer) : answer;
  }

  subscribe(room: string): MaybePromise<Position> {
    const asked = this.#unused;
    return this.#ask('subscribe', asked, () => this.#broker.subscribe(room, asked.signal));
  }

  unsubscribe(room: string): MaybePromise<void> {
    const asked = this.#unused;
    return this.#ask('unsubscribe', asked, () => this.#broker.unsubscribe(room, asked.signal));
  }

  /** Call only if the broker implements it. */
  settled(room: string): MaybePromise<void> {
    const asked = this.#unused;
    return this.#ask('settled', asked, () => this.#broker.settled?.(room, asked.signal));
  }

  /** Call only if the broker implements it. */
  history(room: string, range: Range): MaybePromise<Past> {
    const asked = this.#unused;
    return this.#ask('history', asked, () => {
      const { history } = this.#broker;
      if (history === undefined) throw new Error('it keeps no history');
      return history.call(this.#broker, room, range, asked.signal);
    });
  }

  /** Call only if the broker implements it. */
  purge(room: string, through: number): MaybePromise<void> {
    const asked = this.#unused;
    return this.#ask('purge', asked, () => {
      const { purge } = this.#broker;
      if (purge === undefined) throw new Error('it keeps no history');
      return purge.call(this.#broker, room, through, asked.signal);
    });
  }

  /**
   * Ends every wait except for publishes; calls that fail from now on fail with `shutting_down`.
   * Pending publishes keep waiting for their answer: the broker has them, and only it can tell the
   * outcome (V22).
   */
  abort(): void {
    this.#isOver = true;
    for (const asked of this.#asked) asked.abort(shuttingDown());
  }

  /** Ends every wait, publishes included. */
  giveUp(): void {
    this.abort();
    this.#publishing.giveUp(uncertain('the server has shut down'));
  }

  /** Maps the cause of a failed call, or of a failed wait for one, to a Refusal. */
  refusal(cause: unknown): Refusal {
    if (cause instanceof Refusal && cause.code === 'broker_uncertain') return cause;
    if (this.#isOver) return shuttingDown();
    if (cause instanceof Refusal) return cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    return new Refusal('broker_unavailable', `The broker call failed: ${why}`);
  }

  #ask<T>(verb: Call, asked: AbortController, ask: () => MaybePromise<T>): MaybePromise<T> {
    let answer: MaybePromise<T>;
    try {
      answer = ask();
    } catch (error) {
      throw this.refusal(error);
    }
    if (!isThenable(answer)) return answer;
    if (asked === this.#unused) this.#unused = new AbortController();
    return this.#await(verb, asked, Promise.resolve(answer));
  }

  #await<T>(verb: Call, asked: AbortController, answer: Promise<T>): Promise<T> {
    return this.#tasks.go(`broker ${verb}`, async () => {
      const askedAt = nowMs();
      const timer = setTimeout(() => {
        asked.abort(new Error(`no answer to ${verb} within ${this.#timeoutMs} ms`));
      }, this.#timeoutMs);
      this.#asked.add(asked);
      try {
        return await Promise.race([answer, rejection(asked.signal)]);
      } catch (error) {
        throw this.refusal(error);
      } finally {
        this.#observer.brokerAnswered(verb, (nowMs() - askedAt) / 1e3);
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

/** The broker received the call and may or may not have carried it out. */
const uncertain = (what: string) =>
  new Refusal('broker_uncertain', `The message may or may not have been published: ${what}.`);
