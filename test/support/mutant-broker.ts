/**
 * A broker with one known fault around a correct one, to check that the account detects it. The faults
 * occur in real systems (`research`: reused numbers, a lost tail, duplicates, reordering, a silently
 * dropped subscription, older data).
 */
import type {
  Broker,
  BrokerState,
  MaybePromise,
  Payload,
  Position,
  Publication,
  PublishOptions,
} from '../../src/broker/broker.js';

export const MUTATIONS = [
  'reused numbers',
  'lost tail',
  'lost in the middle',
  'resend',
  'reorder',
  'silent resubscribe',
  'older data',
  'refused and yet published',
] as const;
export type Mutation = (typeof MUTATIONS)[number];

/** Messages of a room that are missed while it is not subscribed. */
const MISSED = 5;

export class MutantBroker implements Broker {
  readonly #inner: Broker;
  readonly #mutation: Mutation;
  #deliver: (publication: Publication) => void = () => {};
  #isStruck = false;
  readonly #held = new Map<string, Publication>();
  readonly #missed = new Map<string, number>();
  #first: Publication | null = null;

  constructor(inner: Broker, mutation: Mutation) {
    this.#inner = inner;
    this.#mutation = mutation;
  }

  /** Activates the fault. */
  strike(): void {
    this.#isStruck = true;
  }

  onDeliver(deliver: (publication: Publication) => void): void {
    this.#deliver = deliver;
    this.#inner.onDeliver((publication) => this.#pass(publication));
  }

  onReset(reset: Parameters<Broker['onReset']>[0]): void {
    this.#inner.onReset(reset);
  }

  onLost(lost: Parameters<Broker['onLost']>[0]): void {
    this.#inner.onLost(lost);
  }

  onState(changed: (state: BrokerState) => void): void {
    this.#inner.onState(changed);
  }

  state(room?: string): BrokerState {
    return this.#inner.state(room);
  }

  publish(room: string, payload: Payload, options: PublishOptions): MaybePromise<Position> {
    const position = this.#inner.publish(room, payload, options);
    if (!this.#isStruck) return position;
    if (this.#mutation === 'refused and yet published') throw new Error('no');
    if (this.#mutation === 'resend') this.#inner.publish(room, payload, options);
    return position;
  }

  subscribe(room: string, signal: AbortSignal, since?: Position): MaybePromise<Position> {
    return this.#inner.subscribe(room, signal, since);
  }

  unsubscribe(room: string, signal: AbortSignal): MaybePromise<void> {
    return this.#inner.unsubscribe(room, signal);
  }

  close(): MaybePromise<void> {
    return this.#inner.close();
  }

  #pass(publication: Publication): void {
    this.#first ??= publication;
    if (!this.#isStruck) {
      this.#deliver(publication);
      return;
    }
    const { seq } = publication;
    switch (this.#mutation) {
      case 'lost tail': {
        // Each message is delivered with the next one, so nothing reveals that the last is missing.
        const held = this.#held.get(publication.room);
        this.#held.set(publication.room, publication);
        if (held !== undefined) this.#deliver(held);
        return;
      }
      case 'silent resubscribe': {
        // Messages before the resubscription are missing, though nothing was wrong.
        const missed = this.#missed.get(publication.room) ?? 0;
        this.#missed.set(publication.room, missed + 1);
        if (missed >= MISSED) this.#deliver(publication);
        return;
      }
      case 'lost in the middle':
        // The next message hides the loss: it reuses the number.
        if (seq % 2 === 0) this.#deliver({ ...publication, seq: seq / 2 });
        return;
      case 'reused numbers':
        this.#deliver({ ...publication, seq: this.#first.seq });
        return;
      case 'older data':
        // As if it had been reset: it counts from the beginning again, in the same epoch.
        this.#deliver({ ...publication, seq: Math.max(1, seq - 5) });
        return;
      case 'reorder': {
        const held = this.#held.get(publication.room);
        if (held === undefined) this.#held.set(publication.room, publication);
        else {
          this.#held.delete(publication.room);
          this.#deliver(publication);
          this.#deliver(held);
        }
        return;
      }
      default:
        this.#deliver(publication);
    }
  }
}
