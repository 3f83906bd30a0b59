/**
 * A broker that answers when the test says so: at once, later, with a failure, or never. It keeps
 * the contract, as far as it lets a broker go: it delivers as soon as it has subscribed, which may
 * be before its answer has arrived; and it may lose publications.
 */
import type {
  Broker,
  MaybePromise,
  Payload,
  Position,
  Publication,
} from '../../src/broker/broker.js';

export type Answer = 'now' | 'later' | 'throw' | 'reject' | 'never';

export interface BrokerScript {
  /** How the next call is answered. */
  readonly answer: () => Answer;
  /** Runs each job later, in the order they came. */
  readonly later: (what: string, job: () => void) => void;
}

interface Topic {
  seq: number;
  epoch: string;
  isSubscribed: boolean;
  /** Of what was delivered last, or subscribed from. */
  delivered: number;
  last: Publication | null;
}

const AT_ONCE: BrokerScript = { answer: () => 'now', later: (_, job) => job() };

export class ScriptedBroker implements Broker {
  readonly topics = new Map<string, Topic>();
  /** `room/seq` of every publication that has a place in the order and was not delivered. */
  readonly lost = new Set<string>();
  /** `room/seq` of every publication with a key. */
  readonly keys = new Map<string, string>();
  readonly script: BrokerScript;
  #pending = 0;
  #deliver: (publication: Publication) => void = () => {};

  constructor(script: BrokerScript = AT_ONCE) {
    this.script = script;
  }

  onDeliver(deliver: (publication: Publication) => void): void {
    this.#deliver = deliver;
  }

  publish(room: string, payload: Payload): MaybePromise<Position> {
    return this.#answer(`publish ${room}`, null, () => {
      const topic = this.#topic(room);
      topic.seq += 1;
      const { seq, epoch } = topic;
      if (payload.key !== undefined) this.keys.set(`${room}/${seq}`, payload.key);
      if (topic.isSubscribed) {
        topic.delivered = seq;
        topic.last = { room, seq, epoch, at: Date.now(), ...payload };
        this.#deliver(topic.last);
      }
      return { seq, epoch };
    });
  }

  subscribe(room: string, signal: AbortSignal): MaybePromise<Position> {
    return this.#answer(`subscribe ${room}`, signal, () => {
      const topic = this.#topic(room);
      topic.isSubscribed = true;
      topic.delivered = topic.seq;
      signal.addEventListener('abort', () => {
        topic.isSubscribed = false;
      });
      return { seq: topic.seq, epoch: topic.epoch };
    });
  }

  unsubscribe(room: string, signal: AbortSignal): MaybePromise<void> {
    return this.#answer(`unsubscribe ${room}`, signal, () => {
      this.#topic(room).isSubscribed = false;
    });
  }

  close(): void {
    this.topics.clear();
  }

  /** `count` publications of others get a place in the order, and nobody gets them. */
  lose(room: string, count: number): void {
    const topic = this.#topic(room);
    for (let n = 0; n < count; n += 1) {
      topic.seq += 1;
      this.lost.add(`${room}/${topic.seq}`);
    }
  }

  /** Against the contract: what was delivered last is delivered again. */
  repeat(room: string): void {
    const { isSubscribed, last } = this.#topic(room);
    if (isSubscribed && last !== null) this.#deliver(last);
  }

  #topic(room: string): Topic {
    let topic = this.topics.get(room);
    if (topic === undefined) {
      topic = { seq: 0, epoch: `epoch of ${room}`, isSubscribed: false, delivered: 0, last: null };
      this.topics.set(room, topic);
    }
    return topic;
  }

  #answer<T>(what: string, signal: AbortSignal | null, carryOut: () => T): MaybePromise<T> {
    const answer = this.script.answer();
    if (answer === 'throw') throw new Error(`${what} failed`);
    if (answer === 'never') return new Promise<T>(() => {});
    // What was asked before comes first.
    if (answer === 'now' && this.#pending === 0) return carryOut();
    this.#pending += 1;
    return new Promise<T>((resolve, reject) => {
      this.script.later(what, () => {
        this.#pending -= 1;
        if (answer === 'reject') reject(new Error(`${what} failed`));
        if (answer === 'reject' || signal?.aborted) return;
        const value = carryOut();
        this.script.later(`answer to ${what}`, () => resolve(value));
      });
    });
  }
}
