/**
 * The broker of a single process: answers at once, delivers synchronously. It remembers where the
 * rooms nobody is subscribed to stand, so that a quick reload goes on counting, but only the
 * latest `MAX_IDLE_TOPICS` of them (V3): a room forgotten starts over under a new epoch.
 */
import { randomBytes } from 'node:crypto';
import type { Broker, Payload, Position, Publication, PublishOptions } from './broker.js';
import { Uids } from './uids.js';

const MAX_IDLE_TOPICS = 10_000;

interface Topic {
  seq: number;
  readonly epoch: string;
  subscribed: boolean;
}

export class MemoryBroker implements Broker {
  readonly #topics = new Map<string, Topic>();
  /** Names of topics without a subscription, the longest idle first. */
  readonly #idle = new Set<string>();
  /** One prefix a process: two runs never hand out the same epoch. */
  readonly #run = randomBytes(4).toString('hex');
  readonly #uids = new Uids();
  #epochs = 0;
  #deliver: (publication: Publication) => void = () => {};

  onDeliver(deliver: (publication: Publication) => void): void {
    this.#deliver = deliver;
  }

  publish(room: string, payload: Payload, { uid }: PublishOptions): Position {
    if (uid !== undefined) {
      const known = this.#uids.find(room, uid);
      if (known !== undefined) return known;
    }
    const topic = this.#topic(room);
    topic.seq += 1;
    const { seq, epoch } = topic;
    const position = { seq, epoch };
    if (uid !== undefined) this.#uids.add(room, uid, position);
    if (topic.subscribed) {
      const { data, from, key } = payload;
      this.#deliver({ room, seq, epoch, at: Date.now(), data, from, key });
    } else {
      this.#rest(room);
    }
    return position;
  }

  subscribe(room: string): Position {
    const topic = this.#topic(room);
    topic.subscribed = true;
    this.#idle.delete(room);
    return { seq: topic.seq, epoch: topic.epoch };
  }

  unsubscribe(room: string): void {
    const topic = this.#topics.get(room);
    if (!topic?.subscribed) return;
    topic.subscribed = false;
    this.#rest(room);
  }

  close(): void {
    this.#topics.clear();
    this.#idle.clear();
    this.#uids.clear();
  }

  #topic(room: string): Topic {
    let topic = this.#topics.get(room);
    if (topic === undefined) {
      topic = { seq: 0, epoch: `${this.#run}-${this.#epochs.toString(36)}`, subscribed: false };
      this.#epochs += 1;
      this.#topics.set(room, topic);
    }
    return topic;
  }

  /** Nobody is subscribed: the topic is remembered until so many others have rested after it. */
  #rest(room: string): void {
    this.#idle.delete(room);
    this.#idle.add(room);
    if (this.#idle.size <= MAX_IDLE_TOPICS) return;
    for (const oldest of this.#idle) {
      this.#idle.delete(oldest);
      this.#topics.delete(oldest);
      return;
    }
  }
}
