/**
 * The broker for several nodes that share one Redis. It orders each commit with one script, delivers
 * over Redis channels, keeps a log of each room, and recovers by itself after every disconnect.
 *
 * It holds one link at a time (`link.ts`). When a link ends, it retries with back-off, against the
 * server that is the primary by then (`primary.ts`). V20: another primary means another term and so
 * another epoch. V21: whatever a disconnect may have cost is read from the log or reported as lost.
 * V22: a commit that was unanswered when its link ended is resent under its number, or refused as
 * uncertain (`commits.ts`). V3: pending and held-back messages are bounded, in `commits.ts` and
 * `topic.ts`.
 */
import { randomBytes } from 'node:crypto';
import { Refusal } from '../../errors.js';
import type { HistoryPolicy } from '../../options/config.js';
import { sleep } from '../../sleep.js';
import { clearInterval, setInterval } from '../../time.js';
import type {
  Board,
  Broker,
  BrokerState,
  Past,
  Payload,
  Position,
  Publication,
  PublishOptions,
  Range,
} from '../broker.js';
import type { NodeFacts, SharingNode } from '../sharing-node.js';
import { RedisBoard } from './board.js';
import { Changes } from './changes.js';
import { Commits, MAX_UNSETTLED, MAX_UNSETTLED_BYTES } from './commits.js';
import type { RedisConfig, RedisEvents } from './config.js';
import { Keys } from './keys.js';
import { Link, Misconfigured } from './link.js';
import { leaveNodes, readNodes } from './nodes.js';
import type { RedisCounts, RedisLoad } from './numbers.js';
import { keptFor, purge, readPast } from './past.js';
import { Primary } from './primary.js';
import { Subscriptions } from './subscriptions.js';
import { Ticks } from './ticks.js';
import { Told } from './told.js';

const NO_HISTORY: HistoryPolicy = { historyMessages: 0, historyBytes: 0, historyMs: 0 };
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2000;
/**
 * Shorter with Sentinels, which promote a replica soon: how often they are asked decides how quickly
 * that is noticed.
 */
const LONGEST_PAUSE_TO_NEXT_MS = 150;
/** Ticks between two checks whether the Sentinels still name this primary. */
const TICKS_A_LOOK = 5;

export class RedisBroker implements Broker {
  /** Node id. Random, so that no two incarnations of a node share one. */
  readonly node = randomBytes(8).toString('hex');
  readonly #config: RedisConfig;
  readonly #primary: Primary;
  readonly #keys: Keys;
  readonly #events: RedisEvents;
  readonly #commits: Commits;
  readonly #subscriptions: Subscriptions;
  readonly #board: RedisBoard;
  readonly #told = new Told();
  readonly #closing = new AbortController();
  /** Notified when the state changes, when a room becomes live, and on close. */
  readonly #changes = new Changes();
  #link: Link | null = null;
  #ticks: Ticks | null = null;
  #state: BrokerState = 'suspended';
  #isUnderWay: Promise<void>;
  #facts: () => NodeFacts | null = () => null;
  #sizeOf: (room: string) => number = () => 0;
  #changed: (state: BrokerState) => void = () => {};

  constructor(config: RedisConfig, events: RedisEvents) {
    this.#config = config;
    this.#primary = new Primary(config.url, config.timeoutMs);
    this.#events = events;
    const keys = new Keys(config.clusterName);
    this.#keys = keys;
    const { idleRoomMs, tickMs, timeoutMs } = config;
    const told = this.#told;
    this.#commits = new Commits({
      node: this.node,
      keys,
      idleRoomMs,
      timeoutMs,
      kept: (room) => keptFor(this.#historyOf(room), config.kept),
      uncertain: (messages) => {
        told.counts.uncertain += messages;
      },
    });
    const unreadable = () => told.unreadable();
    this.#board = new RedisBoard({ node: this.node, keys, idleRoomMs, tickMs, unreadable });
    this.#subscriptions = new Subscriptions({
      keys,
      idleRoomMs,
      barrier: async () => void (await this.#ticks?.barrier()),
      live: () => this.#changes.happened(),
      unreadable,
      sizeOf: (room) => this.#sizeOf(room),
      roomsPerSecond: config.resumeRoomsPerSecond,
      events: told,
    });
    this.#isUnderWay = this.#run();
  }

  onDeliver(deliver: (publication: Publication) => void): void {
    this.#told.onDeliver = deliver;
  }

  onReset(reset: (room: string, position: Position, was: Position) => void): void {
    this.#told.onReset = reset;
  }

  onLost(lost: (room: string, to: number) => void): void {
    this.#told.onLost = lost;
  }

  onState(changed: (state: BrokerState) => void): void {
    this.#changed = changed;
  }

  measureRooms(sizeOf: (room: string) => number): void {
    this.#sizeOf = sizeOf;
  }

  get counts(): RedisCounts {
    return this.#told.counts;
  }

  get board(): Board {
    return this.#board;
  }

  get lagMs(): number {
    return this.#ticks?.lagMs ?? 0;
  }

  get load(): RedisLoad {
    return {
      unsettled: this.#commits.unsettled,
      unsettledMax: MAX_UNSETTLED,
      unsettledBytes: this.#commits.unsettledBytes,
      unsettledLimitBytes: MAX_UNSETTLED_BYTES,
      suspendedRooms: this.#subscriptions.suspended,
      lagMs: this.lagMs,
    };
  }

  state(room?: string): BrokerState {
    if (this.#state !== 'up' || room === undefined) return this.#state;
    return this.#subscriptions.isLive(room) ? 'up' : 'suspended';
  }

  /**
   * Also resolves when the broker is closed. Without `room`, it only covers messages in transit over
   * the channels, not those that are read from logs.
   */
  async settled(room?: string, signal?: AbortSignal): Promise<void> {
    let heardBy: Ticks | null = null;
    while (!this.#closing.signal.aborted && !signal?.aborted) {
      const ticks = this.#ticks;
      if (ticks !== null && ticks !== heardBy && (await ticks.barrier())) heardBy = ticks;
      const isHeard = heardBy !== null && heardBy === this.#ticks;
      if (isHeard && (room === undefined || this.#subscriptions.isLive(room))) return;
      await this.#changes.next(signal);
    }
  }

  publish(room: string, payload: Payload, options: PublishOptions): Promise<Position> {
    return this.#commits.publish(room, payload, options);
  }

  subscribe(room: string, signal: AbortSignal, since?: Position): Position | Promise<Position> {
    return this.#subscriptions.subscribe(room, signal, since);
  }

  unsubscribe(room: string): void {
    this.#subscriptions.unsubscribe(room);
  }

  /** @throws Refusal `broker_unavailable` */
  history(room: string, range: Range): Promise<Past> {
    return readPast(this.#usable, this.#keys, room, range, this.#historyOf(room));
  }

  /** @throws Refusal `broker_unavailable` */
  purge(room: string, through: number): Promise<void> {
    return purge(this.#usable, this.#keys, room, through);
  }

  /** Sets what this node reports about itself to other nodes. */
  describe(facts: () => NodeFacts): void {
    this.#facts = facts;
  }

  /**
   * All nodes that share this Redis, including this one. @throws Refusal `broker_unavailable`, or Error
   */
  nodes(): Promise<SharingNode[]> {
    return readNodes(this.#usable, this.#keys);
  }

  async close(): Promise<void> {
    await this.#commits.close();
    this.#ticks?.stop();
    await leaveNodes(this.#link, this.#keys, this.node);
    this.#closing.abort(new Error('the server is shutting down'));
    await this.#isUnderWay;
    this.#subscriptions.close();
    this.#board.close();
    this.#changes.happened();
  }

  #historyOf(room: string): HistoryPolicy {
    return this.#config.history?.(room) ?? NO_HISTORY;
  }

  get #usable(): Link {
    if (this.#link !== null) return this.#link;
    throw new Refusal('broker_unavailable', 'There is no connection to Redis.');
  }

  /** Opens one link after the other until the broker is closed. */
  async #run(): Promise<void> {
    let pause = FIRST_PAUSE_MS;
    while (!this.#closing.signal.aborted) {
      try {
        const hasLived = await this.#live();
        pause = hasLived ? FIRST_PAUSE_MS : pause;
      } catch (error) {
        this.#events.unlinked(error as Error, error instanceof Misconfigured);
      }
      if (this.#closing.signal.aborted) return;
      // Full jitter: all nodes lost the same Redis at once.
      await sleep(Math.random() * pause, this.#closing.signal);
      const longest = this.#primary.hasSentinels ? LONGEST_PAUSE_TO_NEXT_MS : LONGEST_PAUSE_MS;
      pause = Math.min(pause * 2, longest);
    }
  }

  /** Runs one link until it ends. Returns whether it was ever up. */
  async #live(): Promise<boolean> {
    const { timeoutMs, tickMs, positionCheckMs, idleRoomMs } = this.#config;
    const { signal } = this.#closing;
    let end: (cause: Error) => void = () => {};
    const ended = new Promise<Error>((resolve) => {
      end = resolve;
    });
    const url = await this.#primary.locate(signal);
    const link = await Link.open(
      { url },
      this.#keys,
      timeoutMs,
      {
        message: (channel, text) => {
          if (channel === ticks.channel) ticks.hear(text);
          else if (this.#keys.isBoard(channel)) this.#board.message(channel, text);
          else this.#subscriptions.message(channel, text);
        },
        end,
      },
      signal,
    );
    const ticks = new Ticks(link, this.#keys, {
      node: this.node,
      everyMs: tickMs,
      says: () => JSON.stringify(this.#facts()),
      lapsed: () => this.#board.lapsed(),
      refuses: (error) => this.#events.refuses(error),
    });
    // Redis forgets a room after `idleRoomMs`, so the check must renew it earlier.
    const everyMs = Math.min(positionCheckMs, idleRoomMs / 2);
    const checks = setInterval(() => this.#check(link), everyMs);
    const looks = setInterval(() => this.#lookForPrimary(link, url), TICKS_A_LOOK * tickMs);
    const giveUp = () => link.end(signal.reason as Error);
    signal.addEventListener('abort', giveUp, { once: true });
    // The broker may have been closed while the link was being opened.
    if (signal.aborted) giveUp();
    let isUp = false;
    try {
      await Promise.race([ended, this.#bringUp(link, ticks)]);
      isUp = link.isOpen;
      if (isUp) {
        this.counts.links += 1;
        this.#events.linked({ ...this.counts });
        this.#goTo('up');
        await Promise.race([ended, this.#advise(link)]);
      }
      const cause = await ended;
      if (!signal.aborted) this.#events.unlinked(cause, false);
    } finally {
      signal.removeEventListener('abort', giveUp);
      ticks.stop();
      clearInterval(checks);
      clearInterval(looks);
      this.#link = null;
      this.#ticks = null;
      this.#commits.detach();
      this.#subscriptions.detach();
      this.#board.down();
      this.#goTo('suspended');
    }
    return isUp;
  }

  async #lookForPrimary(link: Link, url: string): Promise<void> {
    if (await this.#primary.isLeft(url, this.#closing.signal)) {
      link.end(new Error('it is no longer the primary'));
    }
  }

  async #bringUp(link: Link, ticks: Ticks): Promise<void> {
    try {
      await link.subscribe([ticks.channel]);
      if (!(await ticks.barrier())) return;
      this.#link = link;
      this.#ticks = ticks;
      this.#commits.attach(link);
      await this.#subscriptions.attach(link);
      // It also resolves when the link has ended.
      if (link.isOpen) await this.#board.up(link);
    } catch (error) {
      link.end(error as Error);
    }
  }

  async #advise(link: Link): Promise<void> {
    try {
      for (const text of await this.#primary.advice(link)) this.#events.advice(text);
    } catch {
      // The link has ended, which is reported elsewhere.
    }
  }

  #check(link: Link): void {
    const checks = [this.#subscriptions.check(), this.#board.check()];
    Promise.all(checks).catch((error: Error) => link.end(error));
  }

  #goTo(state: BrokerState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#changed(state);
    this.#changes.happened();
  }
}
