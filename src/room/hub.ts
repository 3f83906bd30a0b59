/**
 * The root of the room layer: creates everything the rooms of a server share, passes publishes to the
 * broker and the broker's deliveries to rooms, and shuts it all down.
 *
 * V8: every wait is a named task in `#tasks` and ends at its deadline or at `close`.
 *
 * Not here: joins and leaves (`memberships.ts`), the directory of rooms (`rooms.ts`), how messages reach
 * members (`room.ts`), slow members (`behind.ts`).
 */
import type { IncomingHttpHeaders } from 'node:http';
import type {
  Broker,
  BrokerState,
  LossReason,
  MaybePromise,
  Payload,
  Position,
  Publication,
} from '../broker/broker.js';
import { BrokerCalls } from '../broker/calls.js';
import { type CloseReason, shuttingDown } from '../errors.js';
import { Events } from '../events.js';
import { type Detector, LockTimeoutError, WaitGroup } from '../lock/index.js';
import type { LoopClock } from '../loop-clock.js';
import type { Config } from '../options/config.js';
import type { Codec } from '../protocol/codec.js';
import type { CommandId } from '../protocol/fields.js';
import { survive, survived } from '../survived.js';
import { clearInterval, nowMs, setInterval } from '../time.js';
import { Archive } from './archive.js';
import { Backfills, type HistoryRequest, mayNotRead } from './backfills.js';
import { Behind } from './behind.js';
import { FanOut } from './fan-out.js';
import { Formats } from './format.js';
import type { QueueMemory } from './frame.js';
import type { Member, MemberContext } from './member.js';
import { Memberships, notAllowed, subscriptionOf } from './memberships.js';
import type { Observer } from './observer.js';
import { Pages } from './pages.js';
import { Presence } from './presence.js';
import { Replays } from './replays.js';
import type { Room } from './room.js';
import { Rooms } from './rooms.js';
import type { Trace } from './trace.js';

const LAG_MS = 100;

/** Optional fields of a publish, besides its data. */
export interface Message {
  readonly key?: string | undefined;
  /** See `PublishOptions` of the broker. */
  readonly uid?: string | undefined;
  /** Headers of the HTTP request that carried the publish, if one did. */
  readonly headers?: IncomingHttpHeaders | undefined;
}

export class Hub {
  /** All connections, their rooms, and joining and leaving. */
  readonly memberships: Memberships;
  /** Dependencies that every `Member` is constructed with. */
  readonly memberContext: MemberContext;

  readonly #broker: Broker;
  /** Events for the embedding application. */
  readonly events: Events;
  readonly #fanOut: FanOut;
  readonly #tasks: WaitGroup;
  readonly #calls: BrokerCalls;
  readonly #rooms: Rooms;
  readonly #pages: Pages;
  /** History access for the HTTP API. */
  readonly archive: Archive;
  /** Members that are being sent the messages they missed before joining. */
  readonly replays: Replays;
  /** Members' requests for history. */
  readonly backfills: Backfills;
  /** Presence lists, for the namespaces that have presence enabled. */
  readonly presence: Presence;
  readonly #closing = new AbortController();
  readonly #behind: Behind;
  /** Samples every `LAG_MS` how far this node is behind its broker. */
  readonly #lag: NodeJS.Timeout;
  readonly #trace: Trace | null;

  /**
   * `evict` closes a member's connection with a reason, unless it is already closed; the hub calls it
   * outside all loops over members. `detector` watches the locks of this hub, `events` go to the
   * embedding application, and `trace`, if given, traces messages.
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
    trace: Trace | null = null,
  ) {
    this.#trace = trace;
    this.events = events;
    this.#tasks = new WaitGroup({ name: 'hub.tasks', detector });
    this.#broker = broker;
    this.#calls = new BrokerCalls(broker, config.brokerTimeoutMs, this.#tasks, observer);
    this.#rooms = new Rooms({
      config,
      calls: this.#calls,
      tasks: this.#tasks,
      detector,
      observer,
      closing: this.#closing.signal,
    });
    this.#pages = new Pages(this.#calls);
    this.archive = new Archive({
      config,
      broker,
      calls: this.#calls,
      pages: this.#pages,
      closing: this.#closing.signal,
    });
    this.replays = new Replays({
      pages: this.#pages,
      observer,
      clock,
      recoverMaxMs: config.recoverMaxMs,
      wake: () => this.#fanOut.schedule(),
    });
    this.backfills = new Backfills({
      pages: this.#pages,
      observer,
      config,
      wake: () => this.#fanOut.schedule(),
    });
    this.presence = new Presence({
      config,
      observer,
      board: broker.board,
      wake: () => this.#fanOut.schedule(),
    });
    this.memberships = new Memberships({
      config,
      broker,
      calls: this.#calls,
      rooms: this.#rooms,
      tasks: this.#tasks,
      archive: this.archive,
      pages: this.#pages,
      replays: this.replays,
      backfills: this.backfills,
      presence: this.presence,
      observer,
      events,
      closing: this.#closing.signal,
    });
    const late = [this.replays, this.presence, this.backfills];
    this.#fanOut = new FanOut(observer, late, evict, trace);
    this.#lag = setInterval(() => this.#rooms.backlog.lag(broker.lagMs ?? 0), LAG_MS).unref();
    this.#behind = new Behind({
      clock,
      queueBytesTotal: config.queueBytesTotal,
      evictLater: (member, reason) => this.#fanOut.evictLater(member, reason),
      evict,
    });
    this.memberContext = {
      clock,
      codec,
      observer,
      events,
      memory: this.memory,
      formats: new Formats(),
      defaultPolicy: this.memberships.policyOf('default'),
      controlMessages: config.controlMessages,
      controlBytes: config.controlBytes,
      behind: this.#behind.members,
      wake: (member) => this.#fanOut.wake(member),
      evict: (member, reason) => this.#fanOut.evictLater(member, reason),
    };
    // The broker may deliver a message after the last leave. It must not have to catch our exceptions
    // (V12).
    broker.onDeliver((publication) => {
      // Every message comes through here, so this is an inline try: `survived` is called with many
      // different functions and would be slower.
      try {
        this.#deliver(publication, observer);
      } catch (error) {
        survive(error);
      }
    });
    broker.measureRooms?.((name) => this.#rooms.byName.get(name)?.size ?? 0);
    broker.onState(survived((state: BrokerState) => this.memberships.notice.changed(state)));
    broker.onLost(
      survived((name: string, to: number, reason?: LossReason) => {
        const room = this.#rooms.byName.get(name);
        if (room?.lost(to, reason)) this.#fanOut.mark(room);
      }),
    );
    broker.onReset(
      survived((name: string, position: Position, was: Position) => {
        const room = this.#rooms.byName.get(name);
        if (room?.reset(position, was)) this.#fanOut.mark(room);
      }),
    );
  }

  /** Re-reads the policies from the options; they apply to every join from now on. */
  reload(): void {
    this.memberships.reload();
    this.presence.reload();
  }

  /** All connections, by id. */
  get members(): ReadonlyMap<string, Member> {
    return this.memberships.members;
  }

  /** Members with anything outstanding or queued, or not yet healthy again. */
  get behind(): ReadonlySet<Member> {
    return this.#behind.members;
  }

  /** Memory held by the send queues of all members. */
  get memory(): QueueMemory {
    return this.#behind.memory;
  }

  get rooms(): ReadonlyMap<string, Room> {
    return this.#rooms.byName;
  }

  get brokerState(): BrokerState {
    return this.#broker.state();
  }

  /** True if this node is so far behind its broker that new connections should go elsewhere (V23). */
  get isLagging(): boolean {
    return this.#rooms.backlog.isLagging;
  }

  /**
   * Passes a message to the broker and returns its position in the room. Never waits for a member (V1).
   * `member` is the publisher, or null for the HTTP API, which need not join the room.
   *
   * @throws Refusal `not_joined`, `not_allowed`, `room_busy`, `broker_unavailable`, `broker_uncertain`,
   * `shutting_down`. It rejects with them where the broker answers asynchronously.
   */
  publish(
    member: Member | null,
    name: string,
    data: string,
    { key, uid, headers }: Message = {},
  ): MaybePromise<Position> {
    if (this.#closing.signal.aborted) throw shuttingDown();
    if (member !== null) this.checkPublisher(member, name);
    this.#rooms.checkBacklog(name);
    const user = member?.identity.user ?? undefined;
    const payload: Payload = { data, from: member?.id ?? null, user, key };
    const answer =
      this.#trace === null
        ? this.#calls.publish(name, payload, uid)
        : this.#trace.publish(name, headers, (trace) =>
            this.#calls.publish(name, { ...payload, trace }, uid),
          );
    if (this.events.wanted.published) this.#tellPublished(name, payload, answer);
    return answer;
  }

  /**
   * Sends the member past messages of the room, then the reply for `id`, at lower priority than
   * everything else queued for the member. Settles when the reply has been handed over.
   *
   * @throws Refusal `not_joined`, `not_allowed`, `not_enabled`, `history_busy`. It may also reject with
   * `broker_unavailable` or `shutting_down`.
   */
  backfill(
    member: Member,
    name: string,
    id: CommandId | undefined,
    wanted: HistoryRequest,
  ): Promise<void> {
    // Asked first: the app may end the connection meanwhile.
    const mayRead = member.identity.may('history', name);
    const subscription = subscriptionOf(member, name);
    if (!mayRead) throw mayNotRead(name);
    this.archive.check(name);
    return this.backfills.begin(subscription, this.rooms.get(name) as Room, id, wanted);
  }

  /** @throws Refusal `not_joined`, `not_allowed` if the member may not publish to the room now. */
  checkPublisher(member: Member, name: string): void {
    if (!subscriptionOf(member, name).mayPublish) throw notAllowed('publish to', name);
  }

  #deliver(publication: Publication, observer: Observer): void {
    const room = this.#rooms.byName.get(publication.room);
    if (!room?.receive(publication)) return;
    observer.published();
    if (this.replays.isReading(room)) this.#pages.delivered(publication);
    this.#fanOut.mark(room);
  }

  #tellPublished(room: string, payload: Payload, answer: MaybePromise<Position>): void {
    const { from: member, user = null, key } = payload;
    const tell = ({ seq, epoch }: Position) => {
      const data = JSON.parse(payload.data);
      this.events.tell('published', { room, seq, epoch, member, user, data, key });
    };
    // The publisher gets the failure; no event is emitted for it.
    if (answer instanceof Promise) answer.then(tell, () => {});
    else tell(answer);
  }

  /**
   * Refuses new work, aborts every wait for the broker and closes the broker. Members stay until they
   * are removed. Resolves within `timeoutMs` with the names of the tasks still pending then.
   */
  async close(timeoutMs: number): Promise<readonly string[]> {
    this.#closing.abort(shuttingDown());
    this.#calls.abort();
    this.#behind.close();
    clearInterval(this.#lag);
    this.#pages.close();
    this.presence.close();
    this.#rooms.close();
    const deadline = nowMs() + timeoutMs;
    await this.#settle(deadline);
    this.#calls.giveUp();
    const closeBroker = async () => this.#broker.close();
    this.#tasks.go('broker close', closeBroker).catch(() => {
      // The server is shutting down: a broker that fails to close changes nothing.
    });
    await this.#settle(deadline);
    return this.#tasks.pending();
  }

  /** Waits for the pending tasks, at most until `deadline`. */
  async #settle(deadline: number): Promise<void> {
    try {
      await this.#tasks.wait({ timeoutMs: Math.max(0, deadline - nowMs()) });
    } catch (error) {
      if (!(error instanceof LockTimeoutError)) throw error;
    }
  }
}
