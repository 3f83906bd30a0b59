/**
 * Rooms this node has subscribed to in Redis. After a reconnect it resubscribes the channels, reads
 * each room's position, then reads the missed log entries. V22: no library resubscribes for us.
 *
 * Subscriptions requested in one turn of the loop go out as one batch. After `unsubscribe` a room stays
 * subscribed for `LINGER_MS`, since people reload pages.
 *
 * Not here: the Redis queries (`standing.ts`), delivery and gap detection for one room (`topic.ts`),
 * when a link is opened (`redis.ts`).
 */
import { Refusal } from '../../errors.js';
import { sleep } from '../../sleep.js';
import { clearTimeout, nowMs, setImmediate, setTimeout } from '../../time.js';
import type { Position } from '../broker.js';
import { type Commit, parseCommit } from './format.js';
import type { Keys } from './keys.js';
import type { Link } from './link.js';
import { inParts, type Pace } from './resume.js';
import { type Asked, askRooms, readLog } from './standing.js';
import { type Log, type State, Topic, type TopicEvents } from './topic.js';

/** Concurrent log reads. */
const READS_AT_ONCE = 16;
const LINGER_MS = 5000;
/**
 * After a disconnect, nodes resume at a random time within this window, since all lost the same Redis.
 */
const SPREAD_MS = 500;
/**
 * A node disconnected again within this time may be too slow to keep up, so it reports the missed
 * messages as lost instead of reading them.
 */
const OFTEN_MS = 60_000;

export interface SubscriptionsConfig extends Pace {
  readonly keys: Keys;
  readonly idleRoomMs: number;
  readonly events: TopicEvents;
  /** Resolves when everything published before the call is delivered here. */
  barrier(): Promise<void>;
  /** A suspended room is live again. */
  live(): void;
  /** A message could not be parsed. */
  unreadable(): void;
}

interface Wait {
  topic: Topic;
  resolve(position: Position): void;
  reject(cause: Error): void;
}

export class Subscriptions {
  readonly #config: SubscriptionsConfig;
  readonly #topics = new Map<string, Topic>();
  /** Unsubscribed rooms with the time at which their channel is dropped, earliest first. */
  readonly #lingering = new Map<string, number>();
  #linger: NodeJS.Timeout | null = null;
  #link: Link | null = null;
  /** Aborts resuming the rooms over the current link. */
  #ended = new AbortController();
  #cutAt = Number.NEGATIVE_INFINITY;
  #isCutOften = false;
  /** Rooms whose channel is subscribed over the current link, or is about to be. */
  readonly #channels = new Set<string>();
  /** Settles when Redis has confirmed the latest subscription. */
  #confirmed: Promise<void> = Promise.resolve();
  readonly #waits = new Set<Wait>();
  readonly #toRead = new Set<Topic>();
  #reads = 0;

  constructor(config: SubscriptionsConfig) {
    this.#config = config;
  }

  isLive(room: string): boolean {
    const topic = this.#topics.get(room);
    return topic === undefined || topic.isLive;
  }

  /** Rooms with members here that are suspended. */
  get suspended(): number {
    let count = 0;
    for (const { isSubscribed, isLive } of this.#topics.values())
      if (isSubscribed && !isLive) count += 1;
    return count;
  }

  subscribe(room: string, signal: AbortSignal, since?: Position): Position | Promise<Position> {
    const present = this.#topics.get(room);
    if (present?.isSubscribed && present.known !== null && since === undefined)
      return present.known;
    this.#lingering.delete(room);
    let topic = present;
    if (topic === undefined || since !== undefined) {
      // The commits it held back are read from the log instead.
      if (topic !== undefined) topic.isSubscribed = false;
      topic = new Topic(room, this.#config.events, since);
      this.#topics.set(room, topic);
    } else if (!topic.isSubscribed) {
      topic.restart();
      topic.isSubscribed = true;
    }
    const current = topic;
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        this.#waits.delete(wait);
        if (this.#topics.get(room) === current) this.unsubscribe(room);
        reject(signal.reason as Error);
      };
      const wait: Wait = {
        topic: current,
        resolve: (position) => {
          signal.removeEventListener('abort', giveUp);
          resolve(position);
        },
        reject: (cause) => {
          signal.removeEventListener('abort', giveUp);
          reject(cause);
        },
      };
      signal.addEventListener('abort', giveUp, { once: true });
      if (this.#waits.size === 0) setImmediate(() => this.#openWaiting());
      this.#waits.add(wait);
    });
  }

  unsubscribe(room: string): void {
    const topic = this.#topics.get(room);
    if (topic === undefined || !topic.isSubscribed) return;
    topic.isSubscribed = false;
    this.#lingering.set(room, nowMs() + LINGER_MS);
    this.#linger ??= setTimeout(() => this.#dropLingering(), LINGER_MS);
  }

  /** Resumes every room over this link. Resolves when the position of each is known. */
  async attach(link: Link): Promise<void> {
    this.#link = link;
    this.#openWaiting();
    if (this.#topics.size <= this.#channels.size) return;
    const { signal } = this.#ended;
    // Jitter: all nodes lost the same Redis at once.
    await sleep(Math.random() * SPREAD_MS, signal);
    await inParts(this.#topics.values(), this.#config, signal, (part) => {
      // Rooms may have been dropped since, or opened by a new subscription.
      const left = part.filter(
        (topic) => this.#topics.get(topic.room) === topic && !this.#channels.has(topic.room),
      );
      return this.#open(link, left, [], this.#isCutOften);
    });
  }

  detach(): void {
    if (this.#link !== null) {
      const now = nowMs();
      this.#isCutOften = now - this.#cutAt < OFTEN_MS;
      this.#cutAt = now;
    }
    this.#link = null;
    this.#ended.abort();
    this.#ended = new AbortController();
    this.#channels.clear();
    this.#confirmed = Promise.resolve();
    this.#toRead.clear();
    for (const topic of this.#topics.values()) topic.suspend();
  }

  close(): void {
    if (this.#linger !== null) clearTimeout(this.#linger);
    this.#topics.clear();
  }

  message(channel: string, text: string): void {
    const topic = this.#topics.get(this.#config.keys.room(channel));
    if (topic === undefined) return;
    let commit: Commit;
    try {
      commit = parseCommit(text);
    } catch {
      this.#config.unreadable();
      return;
    }
    this.#read(topic, () => topic.receive(commit));
  }

  /**
   * Safety net against lost deliveries: compares each room's position with Redis, waits until
   * everything in transit has arrived, then reads what is still missing.
   */
  async check(): Promise<void> {
    const link = this.#link;
    if (link === null) return;
    const topics = [...this.#topics.values()].filter((topic) => topic.isSubscribed && topic.isLive);
    const behind: { topic: Topic; position: Position }[] = [];
    const answer: Asked['answer'] = (topic, position) => {
      if (position !== null) behind.push({ topic, position });
    };
    // If Redis has forgotten a room and cannot restart it now, the next check retries.
    await askRooms(link, topics, { ...this.#config, answer, refuse() {} });
    if (behind.length === 0) return;
    await this.#config.barrier();
    for (const { topic, position } of behind) {
      if (topic.isLive && topic.isBehind(position)) this.#queueRead(topic);
    }
  }

  #openWaiting(): void {
    const link = this.#link;
    if (link === null || this.#waits.size === 0) return;
    const waits: Wait[] = [];
    for (const wait of this.#waits) {
      // A later subscription with a position has replaced the topic.
      const topic = this.#topics.get(wait.topic.room);
      if (topic === undefined)
        wait.reject(new Refusal('broker_unavailable', 'The room was unsubscribed meanwhile.'));
      else waits.push(Object.assign(wait, { topic }));
    }
    this.#waits.clear();
    this.#open(link, [...new Set(waits.map(({ topic }) => topic))], waits).catch(() => {
      // The link has ended; the next one opens them. Errors on a live link end it.
    });
  }

  /** `tellsOnly`: missed messages are reported as lost and not read. */
  async #open(
    link: Link,
    topics: readonly Topic[],
    waits: readonly Wait[] = [],
    tellsOnly = false,
  ): Promise<void> {
    const { keys } = this.#config;
    const byTopic = new Map<Topic, Wait[]>();
    for (const wait of waits) {
      const all = byTopic.get(wait.topic);
      if (all === undefined) byTopic.set(wait.topic, [wait]);
      else all.push(wait);
    }
    try {
      const channels: string[] = [];
      for (const { room } of topics) {
        if (this.#channels.has(room)) continue;
        this.#channels.add(room);
        channels.push(keys.channel(room));
      }
      if (channels.length > 0) this.#confirmed = link.subscribe(channels);
      // Waits also for subscriptions requested by other callers: publications before the confirmation
      // would reach nobody. They share one connection, which confirms in order.
      await this.#confirmed;
      const answer: Asked['answer'] = (topic, state) => {
        const { known } = topic;
        const { epoch, seq } = state ?? (known as Position);
        for (const { resolve } of byTopic.get(topic) ?? []) resolve({ epoch, seq });
        byTopic.delete(topic);
        if (state === null) this.#read(topic, () => topic.unchanged());
        else if (known === null) this.#read(topic, () => topic.opened(state));
        else if (tellsOnly) this.#read(topic, () => topic.catchUp(nothingOf(state)));
        else this.#queueRead(topic);
      };
      const refuse = (topic: Topic, why: string) => {
        // Its members need the new position; retried over another link.
        if (topic.known !== null) throw new Error(why);
        const refusal = new Refusal('broker_unavailable', `The room cannot be opened: ${why}.`);
        if (this.#topics.get(topic.room) === topic) this.unsubscribe(topic.room);
        for (const { reject } of byTopic.get(topic) ?? []) reject(refusal);
        byTopic.delete(topic);
      };
      await askRooms(link, topics, { ...this.#config, answer, refuse });
    } catch (error) {
      // Remaining waiters wait for the next link, up to their own deadlines.
      for (const wait of [...byTopic.values()].flat()) this.#waits.add(wait);
      if (link.isOpen) link.end(error as Error);
      throw error;
    }
  }

  /** Runs a step on a topic, and reads its log if the step requires it. */
  #read(topic: Topic, step: () => boolean): void {
    const wasLive = topic.isLive;
    try {
      if (step()) this.#queueRead(topic);
      else if (!wasLive && topic.isLive) this.#config.live();
    } catch {
      // The records could not be parsed: what they should have been is read from the log.
      this.#config.unreadable();
      this.#queueRead(topic);
    }
  }

  #queueRead(topic: Topic): void {
    topic.suspend();
    this.#toRead.add(topic);
    this.#readNext();
  }

  #readNext(): void {
    const link = this.#link;
    if (link === null) return;
    for (const topic of this.#toRead) {
      if (this.#reads >= READS_AT_ONCE) return;
      this.#toRead.delete(topic);
      this.#reads += 1;
      this.#readLog(link, topic)
        .catch((error: Error) => {
          if (link.isOpen) link.end(error);
        })
        .finally(() => {
          this.#reads -= 1;
          this.#readNext();
        });
    }
  }

  async #readLog(link: Link, topic: Topic): Promise<void> {
    const before = topic.known;
    // It was dropped and subscribed again; that subscription opens it.
    if (before === null) return;
    const log = await readLog(link, this.#config.keys, topic.room, before.seq);
    // Meanwhile the link may have ended, or the room may have been dropped.
    if (this.#link !== link || this.#topics.get(topic.room) !== topic || topic.known === null)
      return;
    // Redis has forgotten the room. Without an epoch nothing can be reported, so the room is opened
    // again.
    if (log.epoch === '') await this.#open(link, [topic]);
    else this.#read(topic, () => topic.catchUp(log));
  }

  #dropLingering(): void {
    this.#linger = null;
    const now = nowMs();
    const gone: string[] = [];
    for (const [room, at] of this.#lingering) {
      if (at > now) {
        this.#linger = setTimeout(() => this.#dropLingering(), at - now);
        break;
      }
      this.#lingering.delete(room);
      this.#topics.delete(room);
      this.#channels.delete(room);
      gone.push(this.#config.keys.channel(room));
    }
    const link = this.#link;
    if (gone.length > 0 && link !== null) {
      link.unsubscribe(gone).catch((error: Error) => link.end(error));
    }
  }
}

/** A room's position with an empty log. */
const nothingOf = (state: State): Log => ({ ...state, commits: [], hasMore: false });
