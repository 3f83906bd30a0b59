/**
 * All rooms and members of a server: join, leave, publish, and the watch over members that are
 * behind. Owns what crosses rooms: the broker's subscriptions, the memory of all queues, evictions.
 *
 * V2: broker I/O happens under `room.lifecycle` only, with a deadline, never under `room.members`.
 * V8: every wait is a task of `#tasks`, ends with `close` or its deadline, and has a name.
 *
 * Not here: what a client may say (`session/session.ts`), how messages reach members (`room.ts`).
 */
import type { Broker, MaybePromise, Payload, Position } from '../broker/broker.js';
import { BrokerCalls } from '../broker/calls.js';
import { type CloseReason, Refusal, shuttingDown } from '../errors.js';
import { Events } from '../events.js';
import {
  type Detector,
  type Guard,
  LockTimeoutError,
  type Task,
  WaitGroup,
} from '../lock/index.js';
import type { LoopClock } from '../loop-clock.js';
import type { Config, QueuePolicy } from '../options/config.js';
import { namespaceOf, namespaces } from '../options/namespaces.js';
import type { Codec } from '../protocol/codec.js';
import { clearInterval, nowMs, setImmediate, setInterval } from '../time.js';
import { Departures } from './departures.js';
import { FanOut } from './fan-out.js';
import { QueueMemory } from './frame.js';
import type { Member, MemberContext } from './member.js';
import type { Observer } from './observer.js';
import { type Backlog, Room } from './room.js';
import { Subscription } from './subscription.js';

/** How often members that are behind are looked at, in milliseconds: a fifth of the default lag. */
const CHECK_MS = 50;

/** One busy room alone gets four fifths of the backlog of all. */
const SHARE = 4;

export interface Joined extends Position {
  readonly members: number;
}

/** What may go with the data of a message. */
export interface Message {
  readonly key?: string | undefined;
  /** See `PublishOptions` of the broker. */
  readonly uid?: string | undefined;
}

export class Hub {
  readonly rooms = new Map<string, Room>();
  readonly members = new Map<string, Member>();
  /** Members with anything outstanding or queued, or not yet healthy again. */
  readonly behind = new Set<Member>();
  readonly memory: QueueMemory;
  /** What members are built with. */
  readonly memberContext: MemberContext;

  readonly #config: Config;
  readonly #broker: Broker;
  readonly #observer: Observer;
  /** For an app. */
  readonly events: Events;
  readonly #clock: LoopClock;
  readonly #policies: ReadonlyMap<string, QueuePolicy>;
  readonly #evict: (member: Member, reason: CloseReason) => void;
  readonly #fanOut: FanOut;
  readonly #detector: Detector;
  readonly #tasks: WaitGroup;
  readonly #departures: Departures;
  readonly #calls: BrokerCalls;
  readonly #closing = new AbortController();
  readonly #check: NodeJS.Timeout;
  readonly #backlog: Backlog = { bytes: 0 };
  #isRelieving = false;

  /**
   * `evict` closes a member's connection for a reason, unless it is closed already; it is called
   * outside all loops over members.
   * `detector` watches the locks of this hub; `events` are for an app.
   */
  constructor(
    config: Config,
    broker: Broker,
    codec: Codec,
    observer: Observer,
    clock: LoopClock,
    evict: (member: Member, reason: CloseReason) => void,
    detector: Detector,
    events: Events = new Events(),
  ) {
    this.events = events;
    this.#config = config;
    this.#detector = detector;
    this.#tasks = new WaitGroup({ name: 'hub.tasks', detector });
    this.#departures = new Departures(this.#tasks, (room) => this.#closeIfEmpty(room));
    this.#broker = broker;
    this.#calls = new BrokerCalls(broker, config.brokerTimeoutMs, this.#tasks);
    this.#observer = observer;
    this.#clock = clock;
    this.#policies = namespaces(config);
    this.#evict = evict;
    this.#fanOut = new FanOut(observer, evict);
    this.memory = new QueueMemory(config.queueBytesTotal, () => this.#relieve());
    this.memberContext = {
      clock,
      codec,
      observer,
      events,
      memory: this.memory,
      defaultPolicy: this.#policyOf('default'),
      controlMessages: config.controlMessages,
      controlBytes: config.controlBytes,
      behind: this.behind,
      wake: (member) => this.#fanOut.wake(member),
      evict: (member, reason) => this.#fanOut.doom(member, reason),
    };
    broker.onDeliver((publication) => {
      const room = this.rooms.get(publication.room);
      // A publication may cross the last leave on its way.
      if (!room?.receive(publication, codec)) return;
      observer.published();
      this.#fanOut.mark(room);
    });
    this.#check = setInterval(() => this.#checkBehind(), CHECK_MS).unref();
  }

  add(member: Member): void {
    this.members.set(member.id, member);
  }

  /** Takes the member out of every room and lets go of what is held for it. Idempotent. */
  remove(member: Member): void {
    if (!this.members.delete(member.id)) return;
    for (const subscription of member.subscriptions.values()) {
      const room = this.rooms.get(subscription.room) as Room;
      room.depart(subscription);
      this.#departures.add(room, subscription);
      if (this.events.wanted.left) this.events.tell('left', { member: member.id, room: room.name });
    }
    member.subscriptions.clear();
    member.end();
    this.#departures.run();
  }

  /**
   * Makes the member one of the room, at once where somebody is in it already.
   *
   * @throws Refusal `already_joined`, `too_many_rooms`, `no_more_rooms`, `broker_unavailable`, `shutting_down`;
   *   as a rejection where the broker has to be asked.
   */
  join(member: Member, name: string): MaybePromise<Joined> {
    this.#checkJoin(member, name);
    const room = this.rooms.get(name);
    const guard = room?.lifecycle.tryRead('Hub.join');
    if (room === undefined || !guard) return this.#joinLater(member, name);
    try {
      if (room.isSubscribed) return this.#enter(member, room);
    } finally {
      guard.release();
    }
    return this.#joinLater(member, name);
  }

  /** @throws Refusal `not_joined` */
  leave(member: Member, name: string): void {
    const subscription = this.#subscription(member, name);
    const room = this.rooms.get(name) as Room;
    room.remove(subscription);
    member.leave(subscription, room.seq);
    if (this.events.wanted.left) this.events.tell('left', { member: member.id, room: name });
    this.#closeIfEmpty(room);
  }

  /**
   * Hands a message to the broker and returns its place in the room's order; no member is waited
   * for (V1). `member` is the publisher, or null for the HTTP API, which need not join.
   *
   * @throws Refusal `not_joined`, `room_busy`, `broker_unavailable`, `broker_uncertain`,
   *   `shutting_down`; as a rejection where the broker answers later.
   */
  publish(
    member: Member | null,
    name: string,
    data: string,
    { key, uid }: Message = {},
  ): MaybePromise<Position> {
    if (this.#closing.signal.aborted) throw shuttingDown();
    if (member !== null) this.#subscription(member, name);
    this.#checkBacklog(name);
    const payload: Payload = { data, from: member?.id ?? null, key };
    const answer = this.#calls.publish(name, payload, uid);
    if (this.events.wanted.published) this.#tellPublished(name, payload, answer);
    return answer;
  }

  #tellPublished(room: string, payload: Payload, answer: MaybePromise<Position>): void {
    const { data, from: member, key } = payload;
    const tell = ({ seq, epoch }: Position) =>
      this.events.tell('published', { room, seq, epoch, member, data: JSON.parse(data), key });
    // Its failure is told to the publisher.
    if (answer instanceof Promise) answer.then(tell, () => {});
    else tell(answer);
  }

  /**
   * Refuses new work, ends every wait for the broker and lets go of it; members stay until they
   * are removed. Resolves by `timeoutMs` with the names of what was still under way then.
   */
  async close(timeoutMs: number): Promise<readonly string[]> {
    this.#closing.abort(shuttingDown());
    this.#calls.abort();
    clearInterval(this.#check);
    for (const room of this.rooms.values()) room.lifecycle.close('the server is shutting down');
    const deadline = nowMs() + timeoutMs;
    await this.#settle(deadline);
    const closeBroker = async () => this.#broker.close();
    this.#tasks.go('broker close', closeBroker).catch(() => {
      // It is gone either way, and so are we.
    });
    await this.#settle(deadline);
    return this.#tasks.pending();
  }

  /** Waits for what is under way, but not beyond `deadline`. */
  async #settle(deadline: number): Promise<void> {
    try {
      await this.#tasks.wait({ timeoutMs: Math.max(0, deadline - nowMs()) });
    } catch (error) {
      if (!(error instanceof LockTimeoutError)) throw error;
    }
  }

  #policyOf(room: string): QueuePolicy {
    return (this.#policies.get(namespaceOf(room)) ?? this.#policies.get('default')) as QueuePolicy;
  }

  #subscription(member: Member, name: string): Subscription {
    const subscription = member.subscriptions.get(name);
    if (subscription !== undefined) return subscription;
    throw new Refusal('not_joined', `You are not in ${name}; join it first.`);
  }

  #checkJoin(member: Member, name: string): void {
    if (this.#closing.signal.aborted || !this.members.has(member.id)) throw shuttingDown();
    if (member.subscriptions.has(name)) {
      throw new Refusal('already_joined', `You are in ${name} already.`);
    }
    const { maxRoomsPerMember } = this.#config;
    if (maxRoomsPerMember > 0 && member.subscriptions.size >= maxRoomsPerMember) {
      throw new Refusal(
        'too_many_rooms',
        `You are in ${member.subscriptions.size} rooms; ${maxRoomsPerMember} are allowed.`,
      );
    }
  }

  /**
   * A server that cannot fan out as fast as it is published to says so to the publishers. V3: a
   * room may have waiting up to `SHARE` times what is left of `queueBytesTotal`, so that busy rooms
   * share it however many they are and leave some. One with nothing waiting is not refused for their
   * backlog: for such there is as much again.
   */
  #checkBacklog(name: string): void {
    const { roomBacklogBytes, queueBytesTotal } = this.#config;
    const bytes = this.rooms.get(name)?.backlogBytes ?? 0;
    if (bytes > roomBacklogBytes) {
      throw new Refusal(
        'room_busy',
        `${bytes} bytes wait to be fanned out in this room; ${roomBacklogBytes} are allowed.`,
      );
    }
    const all = this.#backlog.bytes;
    const left = (bytes === 0 ? 2 : 1) * queueBytesTotal - all;
    if (left * SHARE <= bytes) {
      throw new Refusal(
        'room_busy',
        `${bytes} bytes wait to be fanned out in this room, ${all} in all; ${queueBytesTotal} are allowed in all.`,
      );
    }
  }

  #enter(member: Member, room: Room): Joined {
    const { seq, epoch, name } = room;
    const subscription = new Subscription(member, name, this.#policyOf(name), seq);
    member.join(subscription);
    room.add(subscription);
    if (this.events.wanted.joined) this.events.tell('joined', { member: member.id, room: name });
    return { seq, epoch, members: room.size };
  }

  /** A join that has to wait: for the broker, or for another join or leave that does. */
  #joinLater(member: Member, name: string): Promise<Joined> {
    return this.#tasks.go(`join ${member.id}`, async (task) => {
      for (;;) {
        const room = this.#room(name);
        const options = {
          task,
          signal: this.#closing.signal,
          timeoutMs: this.#config.brokerTimeoutMs,
        };
        let guard: Guard | undefined;
        try {
          guard = room.isSubscribed
            ? await room.lifecycle.read('Hub.join', options)
            : await room.lifecycle.write('Hub.firstJoin', options);
          if (room.isGone) continue;
          this.#checkJoin(member, name);
          if (!room.isSubscribed) {
            room.subscribed(await this.#calls.subscribe(name));
            this.#checkJoin(member, name);
          }
          return this.#enter(member, room);
        } catch (error) {
          throw this.#calls.refusal(error);
        } finally {
          guard?.release();
          this.#closeIfEmpty(room);
        }
      }
    });
  }

  #room(name: string): Room {
    let room = this.rooms.get(name);
    if (room === undefined) {
      const { maxRooms } = this.#config;
      if (maxRooms > 0 && this.rooms.size >= maxRooms) {
        throw new Refusal('no_more_rooms', `There are ${maxRooms} rooms; so many are allowed.`);
      }
      room = new Room(name, this.#backlog, this.#detector);
      this.rooms.set(name, room);
    }
    return room;
  }

  /** Lets go of a room nobody is in: tells the broker, unless somebody joins meanwhile. */
  #closeIfEmpty(room: Room): void {
    if (room.size > 0 || room.isGone || this.#closing.signal.aborted) return;
    void this.#tasks.go(`leave ${room.name}`, (task) => this.#lastLeave(room, task));
  }

  async #lastLeave(room: Room, task: Task): Promise<void> {
    const guard = room.lifecycle.tryWrite('Hub.lastLeave', task);
    // Whoever holds it looks again when done.
    if (guard === null) return;
    try {
      if (room.isSubscribed) {
        await this.#calls.unsubscribe(room.name);
      }
    } catch {
      // What it still delivers for a room that is gone is not passed on; the next first join
      // subscribes anew.
      this.#observer.refused('broker_unavailable');
    } finally {
      room.isSubscribed = false;
      this.#forget(room);
      guard.release();
    }
  }

  #forget(room: Room): void {
    room.isGone = true;
    this.rooms.delete(room.name);
  }

  #checkBehind(): void {
    // In a stand-still of ours nobody could be heard; the next look is soon.
    if (!this.#clock.mayJudge) return;
    const now = nowMs();
    for (const member of this.behind) {
      const verdict = member.check(now);
      if (verdict !== null) this.#fanOut.doom(member, verdict);
    }
  }

  /** Evicts the longest stalled until the queues are within their limit again. */
  #relieve(): void {
    if (this.#isRelieving) return;
    this.#isRelieving = true;
    setImmediate(() => {
      this.#isRelieving = false;
      const stalled = Array.from(this.behind, (member) => ({ member, ms: member.stalledMs }));
      stalled.sort((a, b) => b.ms - a.ms);
      for (const { member } of stalled) {
        if (this.memory.bytes <= this.memory.limit) return;
        this.#evict(member, 'memory_pressure');
      }
    });
  }
}
