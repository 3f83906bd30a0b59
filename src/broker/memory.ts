/**
 * The broker of a single process. It answers synchronously and delivers synchronously. It remembers the
 * positions of the latest `idleRooms` rooms without a subscription, so that a page reload continues the
 * numbering (V3); a forgotten room restarts in a new epoch. It is always up, loses nothing, and never
 * changes the epoch of a subscribed room.
 *
 * Not here: the histories of rooms (`history.ts`, `histories.ts`).
 */
import { randomBytes } from 'node:crypto';
import { Refusal } from '../errors.js';
import { Line, type Queued } from '../line.js';
import { type Config, defaults, type HistoryPolicy } from '../options/config.js';
import { histories, namespaceOf } from '../options/namespaces.js';
import { nowMs } from '../time.js';
import type {
  Broker,
  BrokerState,
  Past,
  Payload,
  Position,
  Publication,
  PublishOptions,
  Range,
} from './broker.js';
import { Histories } from './histories.js';
import type { History, Kept } from './history.js';
import { Uids } from './uids.js';

interface Topic extends Queued<Topic> {
  readonly room: string;
  seq: number;
  readonly epoch: string;
  subscribed: boolean;
  /** Null if the room keeps no history. */
  history: History | null;
}

export class MemoryBroker implements Broker {
  readonly #topics = new Map<string, Topic>();
  /** Topics without a subscription, longest idle first. */
  readonly #idle = new Line<Topic>();
  /** Epoch prefix of this process: two runs never use the same epoch. */
  readonly #run = randomBytes(4).toString('hex');
  readonly #uids = new Uids();
  readonly #histories: Histories;
  readonly #config: Config;
  #policies: ReadonlyMap<string, HistoryPolicy>;
  readonly #idleRooms: number;
  #epochs = 0;
  #deliver: (publication: Publication) => void = () => {};
  #reset: (room: string, position: Position, was: Position) => void = () => {};
  #lost: (room: string, to: number) => void = () => {};

  constructor(config: Config = defaults) {
    this.#histories = new Histories(config.historyBytesTotal);
    this.#config = config;
    this.#policies = histories(config);
    this.#idleRooms = config.idleRooms;
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

  onState(): void {
    // The state is always `up`.
  }

  state(): BrokerState {
    return 'up';
  }

  /** Applies changed history options to all rooms. */
  reload(): void {
    this.#policies = histories(this.#config);
    for (const [room, topic] of this.#topics) {
      const policy = this.#policyOf(room);
      const { history } = topic;
      if (history === null) topic.history = this.#histories.open(policy, topic.seq + 1);
      else if (policy.historyMessages > 0) this.#histories.rebound(history, policy);
      else {
        this.#histories.evict(history, 'count');
        topic.history = null;
      }
    }
  }

  /** Totals of all histories. */
  get kept(): Readonly<Kept> {
    return this.#histories.kept;
  }

  /** Number of rooms with history, and the byte limit of all histories together. */
  get keeping(): { readonly rooms: number; readonly limit: number } {
    return this.#histories;
  }

  publish(room: string, payload: Payload, { deadline, uid }: PublishOptions): Position {
    if (nowMs() > deadline) throw new Refusal('broker_unavailable', 'Its deadline has passed.');
    if (uid !== undefined) {
      const known = this.#uids.find(room, uid);
      if (known !== undefined) return known;
    }
    const topic = this.#topic(room);
    topic.seq += 1;
    const { seq, epoch } = topic;
    const position = { seq, epoch };
    if (uid !== undefined) this.#uids.add(room, uid, position);
    const { data, from, user, key, event, except, trace } = payload;
    const publication = {
      room,
      seq,
      epoch,
      at: Date.now(),
      data,
      from,
      user,
      key,
      event,
      except,
      trace,
    };
    if (topic.history !== null) this.#histories.append(topic.history, publication);
    if (topic.subscribed) this.#deliver(publication);
    else this.#rest(topic);
    return position;
  }

  subscribe(room: string, _signal?: AbortSignal, since?: Position): Position {
    const topic = this.#topic(room);
    topic.subscribed = true;
    this.#idle.delete(topic);
    const position = { seq: topic.seq, epoch: topic.epoch };
    if (since !== undefined) this.#resume(room, position, since);
    return position;
  }

  unsubscribe(room: string): void {
    const topic = this.#topics.get(room);
    if (!topic?.subscribed) return;
    topic.subscribed = false;
    this.#rest(topic);
  }

  history(room: string, range: Range): Past {
    const topic = this.#topic(room);
    const { seq, epoch, history } = topic;
    // A room whose history is read keeps its epoch from now on, as a room that is published to does.
    if (!topic.subscribed) this.#rest(topic);
    if (history === null) return { seq, epoch, oldest: seq + 1, publications: [] };
    this.#histories.expire(history);
    return { seq, epoch, oldest: history.oldest, publications: history.read(range) };
  }

  purge(room: string, through: number): void {
    const history = this.#topics.get(room)?.history;
    if (history) this.#histories.evict(history, 'purge', through);
  }

  close(): void {
    this.#histories.close();
    this.#topics.clear();
    this.#idle.clear();
    this.#uids.clear();
  }

  #topic(room: string): Topic {
    let topic = this.#topics.get(room);
    if (topic === undefined) {
      topic = {
        room,
        line: null,
        before: null,
        after: null,
        seq: 0,
        epoch: `${this.#run}-${this.#epochs.toString(36)}`,
        subscribed: false,
        history: this.#histories.open(this.#policyOf(room)),
      };
      this.#epochs += 1;
      this.#topics.set(room, topic);
    }
    return topic;
  }

  #policyOf(room: string): HistoryPolicy {
    const policies = this.#policies;
    return (policies.get(namespaceOf(room)) ?? policies.get('default')) as HistoryPolicy;
  }

  /** Delivers the publications between `since` and `position`, or reports them lost. */
  #resume(room: string, position: Position, since: Position): void {
    if (since.epoch !== position.epoch) {
      this.#reset(room, position, since);
      return;
    }
    const from = since.seq + 1;
    const to = position.seq;
    if (from > to) return;
    const past = this.history(room, { from, to, maxMessages: to, maxBytes: Number.MAX_VALUE });
    for (const publication of past.publications) this.#deliver(publication);
    // The hole before the first delivered publication shows itself.
    if (past.publications.length === 0) this.#lost(room, to);
  }

  /**
   * Marks a topic without a subscription as the most recent idle one; evicts the longest idle past
   * `idleRooms`.
   */
  #rest(topic: Topic): void {
    this.#idle.delete(topic);
    this.#idle.add(topic);
    const oldest = this.#idle.first;
    if (oldest === null || this.#idle.size <= this.#idleRooms) return;
    if (oldest.history !== null) this.#histories.evict(oldest.history, 'idle');
    this.#idle.delete(oldest);
    this.#topics.delete(oldest.room);
  }
}
