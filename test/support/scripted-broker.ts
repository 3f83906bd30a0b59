/**
 * A broker whose answers a test scripts: at once, later, with a failure, or never. It keeps the broker
 * contract, and uses its freedom: it delivers as soon as it has subscribed, possibly before its answer
 * arrives; it may lose publications, and continue in a new epoch.
 */
import type {
  Broker,
  BrokerState,
  MaybePromise,
  Past,
  Payload,
  Position,
  Publication,
  PublishOptions,
  Range,
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
  /** All epochs, the current one last. */
  readonly epochs: string[];
  isSubscribed: boolean;
  /** The position delivered or reported last, or subscribed from. */
  delivered: Position;
  last: Publication | null;
  /** The latest publications, as many as are kept. */
  kept: Publication[];
  readonly uids: Map<string, Position>;
  /** Everything up to here has expired. */
  expired: number;
}

/** A change of the epoch, as subscribers must report it. */
export interface Reset {
  readonly to: Position;
  readonly was: Position;
}

const AT_ONCE: BrokerScript = { answer: () => 'now', later: (_, job) => job() };

export class ScriptedBroker implements Broker {
  readonly topics = new Map<string, Topic>();
  /** Every publication with a position, by `place`. */
  readonly published = new Map<string, Payload>();
  /** Positions of publications that were not delivered. */
  readonly lost = new Set<string>();
  /** By room, in order. */
  readonly resets = new Map<string, Reset[]>();
  readonly script: BrokerScript;
  /** Messages a room keeps in its history; may change. */
  keeps: number;
  /** How often each was replayed, by its data. */
  readonly reads = new Map<string, number>();
  /** A history call has failed or was not answered. */
  hasFailedToRead = false;
  /** A test made it report false history. */
  lies = false;
  lagMs = 0;
  #pending = 0;
  #epochs = 0;
  #state: BrokerState = 'up';
  #deliver: (publication: Publication) => void = () => {};
  #reset: (room: string, position: Position, was: Position) => void = () => {};
  #lost: (room: string, to: number) => void = () => {};
  #changed: (state: BrokerState) => void = () => {};

  constructor(script: BrokerScript = AT_ONCE, keeps = 0) {
    this.script = script;
    this.keeps = keeps;
  }

  static place(room: string, { epoch, seq }: Position): string {
    return `${room} ${epoch} ${seq}`;
  }

  onDeliver(deliver: (publication: Publication) => void): void {
    this.#deliver = deliver;
  }

  onReset(reset: (room: string, position: Position, was: Position) => void): void {
    this.#reset = reset;
  }

  onLost(lost: (room: string, to: number) => void): void {
    this.#lost = lost;
  }

  onState(changed: (state: BrokerState) => void): void {
    this.#changed = changed;
  }

  state(): BrokerState {
    return this.#state;
  }

  publish(
    room: string,
    payload: Payload,
    { deadline = Number.POSITIVE_INFINITY, uid }: Partial<PublishOptions> = {},
  ): MaybePromise<Position> {
    return this.#answer(`publish ${room}`, null, () => {
      if (performance.now() > deadline) throw new Error('too late');
      const topic = this.#topic(room);
      const known = uid === undefined ? undefined : topic.uids.get(uid);
      if (known !== undefined) return known;
      topic.seq += 1;
      const { seq, epoch } = topic;
      if (uid !== undefined) topic.uids.set(uid, { seq, epoch });
      const publication = { room, seq, epoch, at: Date.now(), ...payload };
      this.#keep(topic, publication);
      if (topic.isSubscribed) {
        this.#goOn(room, { epoch, seq: seq - 1 });
        topic.delivered = { epoch, seq };
        topic.last = publication;
        this.#deliver(publication);
      }
      return { seq, epoch };
    });
  }

  subscribe(room: string, signal: AbortSignal, since?: Position): MaybePromise<Position> {
    const topic = this.#topic(room);
    const answer = this.#answer(`subscribe ${room}`, signal, () => {
      const { seq, epoch } = topic;
      topic.isSubscribed = true;
      topic.delivered = { seq, epoch };
      topic.last = null;
      if (since !== undefined && since.epoch !== epoch) {
        this.#reset(room, { seq, epoch }, since);
      } else if (since !== undefined && since.seq < seq) {
        const missed = topic.kept.filter((each) => each.seq > since.seq);
        for (const publication of missed) this.#deliver(publication);
        if (missed.length === 0) this.#lost(room, seq);
      }
      return { seq, epoch };
    });
    if (answer instanceof Promise) {
      signal.addEventListener('abort', () => {
        topic.isSubscribed = false;
      });
    }
    return answer;
  }

  purge(room: string, through: number, signal: AbortSignal): MaybePromise<void> {
    return this.#answer(`purge ${room}`, signal, () => {
      this.expire(room, through);
    });
  }

  unsubscribe(room: string, signal: AbortSignal): MaybePromise<void> {
    return this.#answer(`unsubscribe ${room}`, signal, () => {
      this.#topic(room).isSubscribed = false;
    });
  }

  history(room: string, range: Range, signal: AbortSignal): MaybePromise<Past> {
    const answer = this.#answer(`history ${room}`, signal, () => {
      const { seq, epoch, kept } = this.#topic(room);
      let bytes = 0;
      const publications = kept
        .filter((each) => each.seq >= range.from && each.seq <= range.to)
        .slice(0, range.maxMessages)
        .filter(({ data }, i) => {
          bytes += Buffer.byteLength(data);
          return i === 0 || bytes <= range.maxBytes;
        });
      for (const { data } of publications) this.reads.set(data, (this.reads.get(data) ?? 0) + 1);
      return { seq, epoch, oldest: kept[0]?.seq ?? seq + 1, publications };
    });
    if (answer instanceof Promise) {
      const failed = () => {
        this.hasFailedToRead = true;
      };
      signal.addEventListener('abort', failed);
      answer.catch(failed);
    }
    return answer;
  }

  /** Number up to which an epoch has expired; an ended epoch has expired entirely. */
  expiredTo({ room, epoch }: { readonly room: string; readonly epoch: string }): number {
    const topic = this.#topic(room);
    return topic.epoch === epoch ? topic.expired : Number.POSITIVE_INFINITY;
  }

  /** Expires everything up to `through`. */
  expire(room: string, through: number): void {
    const topic = this.#topic(room);
    topic.kept = topic.kept.filter(({ seq }) => seq > through);
    topic.expired = Math.max(topic.expired, Math.min(through, topic.seq));
  }

  close(): void {
    this.topics.clear();
  }

  /** Assigns positions to `count` publications of others and delivers none of them. */
  lose(room: string, count: number): void {
    const topic = this.#topic(room);
    for (let n = 0; n < count; n += 1) {
      topic.seq += 1;
      const { seq, epoch } = topic;
      const data = `"lost ${this.lost.size}"`;
      this.lost.add(ScriptedBroker.place(room, topic));
      this.#keep(topic, { room, seq, epoch, at: Date.now(), data, from: null });
    }
  }

  /** Reports everything not delivered so far as lost. */
  admit(room: string): void {
    const topic = this.#topic(room);
    const { seq, epoch, isSubscribed, delivered } = topic;
    // It can report nothing about an epoch other than the one delivered last.
    if (!isSubscribed || epoch !== delivered.epoch) return;
    topic.delivered = { epoch, seq };
    this.#lost(room, seq);
  }

  /** Continues from `seq` in a new epoch, and reports it, or leaves that to the next publication. */
  reset(room: string, seq: number, saysSo = true): void {
    const topic = this.#topic(room);
    const was = { epoch: topic.epoch, seq: topic.seq };
    this.#epochs += 1;
    topic.epoch = `epoch ${this.#epochs} of ${room}`;
    topic.epochs.push(topic.epoch);
    topic.seq = seq;
    topic.kept = [];
    topic.expired = seq;
    if (!saysSo || !topic.isSubscribed) return;
    const { delivered } = topic;
    const told = was.epoch === delivered.epoch ? was : delivered;
    this.#goOn(room, topic, told);
    this.#reset(room, { epoch: topic.epoch, seq }, told);
  }

  /** The room's position. */
  at(room: string): Position {
    return this.#topic(room);
  }

  /** All epochs, the current one last. */
  epochsOf(room: string): readonly string[] {
    return this.#topic(room).epochs;
  }

  become(state: BrokerState): void {
    this.#state = state;
    this.#changed(state);
  }

  /** Violates the contract: delivers the last publication again, even after a reset. */
  repeat(room: string): void {
    const { isSubscribed, last, delivered } = this.#topic(room);
    if (!isSubscribed || last === null) return;
    const epochs = [delivered.epoch, this.resets.get(room)?.at(-1)?.was.epoch];
    if (epochs.includes(last.epoch)) this.#deliver(last);
  }

  #keep(topic: Topic, publication: Publication): void {
    this.published.set(ScriptedBroker.place(publication.room, publication), publication);
    topic.kept.push(publication);
    topic.kept = topic.kept.slice(Math.max(0, topic.kept.length - this.keeps));
    topic.expired = (topic.kept[0]?.seq ?? topic.seq + 1) - 1;
  }

  /** Moves the subscribers to `to`; to another epoch with a reset. */
  #goOn(room: string, { epoch, seq }: Position, was = this.#topic(room).delivered): void {
    const topic = this.#topic(room);
    if (topic.delivered.epoch === epoch) return;
    const to = { epoch, seq };
    this.resets.set(room, [...(this.resets.get(room) ?? []), { to, was }]);
    topic.delivered = to;
  }

  #topic(room: string): Topic {
    let topic = this.topics.get(room);
    if (topic === undefined) {
      const epoch = `epoch of ${room}`;
      const delivered = { epoch, seq: 0 };
      topic = {
        seq: 0,
        epoch,
        epochs: [epoch],
        isSubscribed: false,
        delivered,
        last: null,
        kept: [],
        expired: 0,
        uids: new Map(),
      };
      this.topics.set(room, topic);
    }
    return topic;
  }

  #answer<T>(what: string, signal: AbortSignal | null, carryOut: () => T): MaybePromise<T> {
    const answer = this.script.answer();
    if (answer === 'throw') {
      if (what.startsWith('history')) this.hasFailedToRead = true;
      throw new Error(`${what} failed`);
    }
    if (answer === 'never') return new Promise<T>(() => {});
    // Earlier calls come first.
    if (answer === 'now' && this.#pending === 0) return carryOut();
    this.#pending += 1;
    return new Promise<T>((resolve, reject) => {
      this.script.later(what, () => {
        this.#pending -= 1;
        if (answer === 'reject') reject(new Error(`${what} failed`));
        if (answer === 'reject' || signal?.aborted) return;
        try {
          const value = carryOut();
          this.script.later(`answer to ${what}`, () => resolve(value));
        } catch (error) {
          reject(error);
        }
      });
    });
  }
}
