/**
 * The rooms a node is subscribed to, and what brings them up again over another link: channels first,
 * then where each room stands, then what lies between. V22: no library subscribes again for us.
 *
 * What is asked for in one turn of the loop goes in one batch. A room that nobody wants any more is kept
 * for `LINGER_MS`, since people reload pages.
 *
 * Not here: what Redis is asked (`standing.ts`), what is passed on and what is missing (`topic.ts`), when a
 * link is made (`redis.ts`).
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

/** Logs read at once. */
const READS_AT_ONCE = 16;
const LINGER_MS = 5000;
/** Within which nodes that have lost the same Redis come back to it. */
const SPREAD_MS = 500;
/** A node that is cut again so soon may be one that does not keep up: it reads nothing of what it has missed. */
const OFTEN_MS = 60_000;

export interface SubscriptionsConfig extends Pace {
  readonly keys: Keys;
  readonly idleRoomMs: number;
  readonly events: TopicEvents;
  /** Resolves when everything that was published before is delivered here. */
  barrier(): Promise<void>;
  /** A room that was suspended passes on what comes again. */
  live(): void;
  /** Something came that is not of our format. */
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
  /** Rooms nobody wants any more, with the time they are let go of, the first to go first. */
  readonly #lingering = new Map<string, number>();
  #linger: NodeJS.Timeout | null = null;
  #link: Link | null = null;
  /** Ends what brings the rooms of the present link up. */
  #ended = new AbortController();
  #cutAt = Number.NEGATIVE_INFINITY;
  #isCutOften = false;
  /** Rooms of the present link whose channel is subscribed, or about to be. */
  readonly #channels = new Set<string>();
  /** Settles when Redis has confirmed all of them. */
  #confirmed: Promise<void> = Promise.resolve();
  #waits: Wait[] = [];
  readonly #toRead = new Set<Topic>();
  #reads = 0;

  constructor(config: SubscriptionsConfig) {
    this.#config = config;
  }

  isLive(room: string): boolean {
    const topic = this.#topics.get(room);
    return topic === undefined || topic.isLive;
  }

  /** Rooms somebody is in that pass nothing on now. */
  get suspended(): number {
    let count = 0;
    for (const { isWanted, isLive } of this.#topics.values()) if (isWanted && !isLive) count += 1;
    return count;
  }

  subscribe(room: string, signal: AbortSignal, since?: Position): Position | Promise<Position> {
    const present = this.#topics.get(room);
    if (present?.isWanted && present.known !== null && since === undefined) return present.known;
    this.#lingering.delete(room);
    let topic = present;
    if (topic === undefined || since !== undefined) {
      // What it has held back comes from the log.
      if (topic !== undefined) topic.isWanted = false;
      topic = new Topic(room, this.#config.events, since);
      this.#topics.set(room, topic);
    } else if (!topic.isWanted) {
      topic.restart();
      topic.isWanted = true;
    }
    const wanted = topic;
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        this.#waits = this.#waits.filter((one) => one !== wait);
        if (this.#topics.get(room) === wanted) this.unsubscribe(room);
        reject(signal.reason as Error);
      };
      const wait: Wait = {
        topic: wanted,
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
      if (this.#waits.length === 0) setImmediate(() => this.#openWaiting());
      this.#waits.push(wait);
    });
  }

  unsubscribe(room: string): void {
    const topic = this.#topics.get(room);
    if (topic === undefined || !topic.isWanted) return;
    topic.isWanted = false;
    this.#lingering.set(room, nowMs() + LINGER_MS);
    this.#linger ??= setTimeout(() => this.#letGo(), LINGER_MS);
  }

  /** Brings every room up over this link. Resolves when it is known of each where it stands. */
  async attach(link: Link): Promise<void> {
    this.#link = link;
    this.#openWaiting();
    if (this.#topics.size <= this.#channels.size) return;
    const { signal } = this.#ended;
    // All nodes have lost the same Redis.
    await sleep(Math.random() * SPREAD_MS, signal);
    await inParts(this.#topics.values(), this.#config, signal, (part) => {
      // Some have been let go of since, or opened for who has come.
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
   * The net under it all: asks where the rooms stand, and reads what is still missing when everything
   * that was under way has come.
   */
  async check(): Promise<void> {
    const link = this.#link;
    if (link === null) return;
    const topics = [...this.#topics.values()].filter((topic) => topic.isWanted && topic.isLive);
    const behind: { topic: Topic; position: Position }[] = [];
    const answer: Asked['answer'] = (topic, position) => {
      if (position !== null) behind.push({ topic, position });
    };
    // One that Redis has forgotten, and cannot begin anew now, is looked at again the next time.
    await askRooms(link, topics, { ...this.#config, answer, refuse() {} });
    if (behind.length === 0) return;
    await this.#config.barrier();
    for (const { topic, position } of behind) {
      if (topic.isLive && topic.isBehind(position)) this.#wantRead(topic);
    }
  }

  #openWaiting(): void {
    const link = this.#link;
    if (link === null || this.#waits.length === 0) return;
    const waits: Wait[] = [];
    for (const wait of this.#waits) {
      // Who has come with a position has brought another one.
      const topic = this.#topics.get(wait.topic.room);
      if (topic === undefined) wait.reject(new Refusal('broker_unavailable', 'Nobody wants it.'));
      else waits.push(Object.assign(wait, { topic }));
    }
    this.#waits = [];
    this.#open(link, [...new Set(waits.map(({ topic }) => topic))], waits).catch(() => {
      // The link has ended; the next one opens them. An error of a link that lives ends it.
    });
  }

  /** `tellsOnly`: what was missed is told and not read. */
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
      // Also where others have asked for the channel: what is published before that would come to nobody. It is
      // one connection, which confirms them in the order they were asked for.
      await this.#confirmed;
      const answer: Asked['answer'] = (topic, state) => {
        const { known } = topic;
        const { epoch, seq } = state ?? (known as Position);
        for (const { resolve } of byTopic.get(topic) ?? []) resolve({ epoch, seq });
        byTopic.delete(topic);
        if (state === null) this.#read(topic, () => topic.unchanged());
        else if (known === null) this.#read(topic, () => topic.opened(state));
        else if (tellsOnly) this.#read(topic, () => topic.catchUp(nothingOf(state)));
        else this.#wantRead(topic);
      };
      const refuse = (topic: Topic, why: string) => {
        // Its members have to be told where it goes on; that is tried again over another link.
        if (topic.known !== null) throw new Error(why);
        const refusal = new Refusal('broker_unavailable', `The room cannot be opened: ${why}.`);
        if (this.#topics.get(topic.room) === topic) this.unsubscribe(topic.room);
        for (const { reject } of byTopic.get(topic) ?? []) reject(refusal);
        byTopic.delete(topic);
      };
      await askRooms(link, topics, { ...this.#config, answer, refuse });
    } catch (error) {
      // Whoever still waits, waits for the next link, by its own deadline.
      this.#waits.push(...[...byTopic.values()].flat());
      if (link.isOpen) link.end(error as Error);
      throw error;
    }
  }

  /** Does something with a topic, and has its log read where that turns out to be needed. */
  #read(topic: Topic, step: () => boolean): void {
    const wasLive = topic.isLive;
    try {
      if (step()) this.#wantRead(topic);
      else if (!wasLive && topic.isLive) this.#config.live();
    } catch {
      // Records that are not of our format; what they hold is lost, which the log may mend.
      this.#config.unreadable();
      this.#wantRead(topic);
    }
  }

  #wantRead(topic: Topic): void {
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
    // It was let go of, and is wanted anew: it is opened for that.
    if (before === null) return;
    const log = await readLog(link, this.#config.keys, topic.room, before.seq);
    // The link may have ended, and the room may have been let go of, meanwhile.
    if (this.#link !== link || this.#topics.get(topic.room) !== topic || topic.known === null)
      return;
    // Redis has forgotten the room, and where there is no epoch, nothing can be told: it is to begin another.
    if (log.epoch === '') await this.#open(link, [topic]);
    else this.#read(topic, () => topic.catchUp(log));
  }

  #letGo(): void {
    this.#linger = null;
    const now = nowMs();
    const gone: string[] = [];
    for (const [room, at] of this.#lingering) {
      if (at > now) {
        this.#linger = setTimeout(() => this.#letGo(), at - now);
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

/** Where a room stands, and nothing of what it has. */
const nothingOf = (state: State): Log => ({ ...state, commits: [], hasMore: false });
