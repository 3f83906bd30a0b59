/**
 * The members of a server and their rooms: join, leave, disconnect, and what changes when a member's
 * identity or permissions change.
 *
 * V15: permission to be in a room is checked at the join, after each of its waits, and whenever the
 * identity changes; a member that loses it leaves in the same step.
 *
 * Not here: commands of a client (`session/session.ts`), the directory of rooms (`rooms.ts`), how
 * messages reach members (`room.ts`).
 */
import type { Broker, MaybePromise, Position } from '../broker/broker.js';
import type { BrokerCalls } from '../broker/calls.js';
import { Refusal, shuttingDown } from '../errors.js';
import type { Events } from '../events.js';
import type { WaitGroup } from '../lock/index.js';
import type { Config, QueuePolicy } from '../options/config.js';
import { namespaceOf, namespaces } from '../options/namespaces.js';
import type { Recover } from '../protocol/events.js';
import type { Archive } from './archive.js';
import { type Backfills, mayNotRead } from './backfills.js';
import { BrokerNotice } from './broker-notice.js';
import { Departures } from './departures.js';
import type { Identity } from './identity.js';
import type { Member } from './member.js';
import type { Observer } from './observer.js';
import type { Pages } from './pages.js';
import type { Presence } from './presence.js';
import { Recovery, type RecoveryRequest } from './recovery.js';
import type { Replays } from './replays.js';
import type { Room } from './room.js';
import type { Rooms } from './rooms.js';
import { Subscription } from './subscription.js';

export interface Joined extends Position {
  readonly members: number;
  /** Result of the recovery, if the join asked for one. */
  readonly recover?: Recover | undefined;
  /** Set while the broker cannot be reached. */
  readonly stale?: true | undefined;
}

/** Options of a join. */
export interface JoinRequest extends RecoveryRequest {
  /** Subscribes the member to the room's presence. */
  readonly presence?: boolean | undefined;
}

export interface MembershipsContext {
  readonly config: Config;
  readonly broker: Broker;
  readonly calls: BrokerCalls;
  readonly rooms: Rooms;
  readonly tasks: WaitGroup;
  readonly archive: Archive;
  readonly pages: Pages;
  readonly replays: Replays;
  readonly backfills: Backfills;
  readonly presence: Presence;
  readonly observer: Observer;
  readonly events: Events;
  /** Aborted at shutdown: every later join is refused. */
  readonly closing: AbortSignal;
}

export class Memberships {
  /** All connections, by id. */
  readonly members = new Map<string, Member>();
  /** Sends all members the broker's state. */
  readonly notice = new BrokerNotice(this.members);
  readonly #context: MembershipsContext;
  readonly #departures: Departures;
  #policies: ReadonlyMap<string, QueuePolicy>;

  constructor(context: MembershipsContext) {
    this.#context = context;
    const { config, rooms, tasks } = context;
    this.#departures = new Departures(tasks, (room) => rooms.closeIfEmpty(room));
    this.#policies = namespaces(config);
  }

  /** Re-reads the policies from the options; they apply to every join from now on. */
  reload(): void {
    this.#policies = namespaces(this.#context.config, this.#policies.values());
  }

  policyOf(room: string): QueuePolicy {
    return (this.#policies.get(namespaceOf(room)) ?? this.#policies.get('default')) as QueuePolicy;
  }

  add(member: Member): void {
    this.members.set(member.id, member);
  }

  /**
   * Removes a disconnected member from every room and releases what is held for it. Idempotent.
   * `isFinal`: the server ended the connection for good, so the user does not linger in presence.
   */
  remove(member: Member, isFinal = false): void {
    if (!this.members.delete(member.id)) return;
    const { backfills, events, presence, rooms } = this.#context;
    backfills.stop(member);
    for (const subscription of member.subscriptions.values()) {
      const room = rooms.byName.get(subscription.room) as Room;
      this.#endReplay(subscription);
      room.depart(subscription);
      presence.left(subscription, isFinal);
      this.#departures.add(room, subscription);
      if (events.wanted.left) events.tell('left', whoIn(member, room.name));
    }
    member.subscriptions.clear();
    member.end();
    this.#departures.run();
  }

  /**
   * Adds the member to the room: synchronously if this node is already subscribed to it. `tell` is
   * called in the same step, so that the reply goes out before any message of the room.
   *
   * @throws Refusal `already_joined`, `not_allowed`, `too_many_rooms`, `no_more_rooms`, `not_enabled`,
   * `broker_unavailable`, `shutting_down`. It rejects with them where the broker has to be asked.
   */
  join(
    member: Member,
    name: string,
    request: JoinRequest = {},
    tell: (joined: Joined) => void = () => {},
  ): MaybePromise<Joined> {
    const { archive, broker, calls, pages, presence, rooms } = this.#context;
    const { since, last } = request;
    const isKept = (since !== undefined || last !== undefined) && archive.keeps(name);
    const settled = broker.settled === undefined ? null : () => calls.settled(name);
    const recovery = new Recovery(request, isKept ? pages : null, settled);
    return rooms.enter(
      name,
      member.id,
      () => this.checkJoin(member, name, request),
      // A member without the `history` right gets a gap, as in a room that keeps no history.
      (room) => recovery.prepare(room, member.identity.may('history', name)),
      (room) => {
        const joined = this.#enter(member, room, recovery);
        tell(joined);
        // The presence list goes out behind the reply.
        if (request.presence) presence.watch(subscriptionOf(member, name));
        return joined;
      },
    );
  }

  /** @throws Refusal `not_joined` */
  leave(member: Member, name: string): void {
    const { backfills, events, presence, rooms } = this.#context;
    const subscription = subscriptionOf(member, name);
    const room = rooms.byName.get(name) as Room;
    this.#endReplay(subscription);
    backfills.left(subscription);
    room.remove(subscription);
    presence.left(subscription, true);
    member.leave(subscription, room.last);
    if (events.wanted.left) events.tell('left', whoIn(member, name));
    rooms.closeIfEmpty(room);
  }

  /**
   * Sets the member's identity. The member immediately leaves every room that the new identity may not
   * join. Returns the number of rooms it left.
   */
  identify(member: Member, identity: Identity): number {
    // Computed before anything changes, so that an exception changes nothing.
    const now = Array.from(member.subscriptions.values(), (subscription) => ({
      subscription,
      mayStay: identity.may('join', subscription.room),
      mayPublish: identity.may('publish', subscription.room),
    }));
    member.identity = identity;
    let left = 0;
    for (const { subscription, mayStay, mayPublish } of now) {
      if (mayStay) {
        subscription.mayPublish = mayPublish;
        this.#context.presence.identified(subscription);
        continue;
      }
      left += 1;
      this.leave(member, subscription.room);
      member.send({ type: 'left', room: subscription.room, reason: 'revoked' });
    }
    return left;
  }

  /** Stops the member's replays and backfills. A later leave announces what it missed. */
  stopReading(member: Member): void {
    this.#context.backfills.stop(member);
    for (const subscription of member.subscriptions.values()) this.#endReplay(subscription);
  }

  /** @throws Refusal if the member may not join the room now */
  checkJoin(member: Member, name: string, { last, presence: watches }: JoinRequest = {}): void {
    const { archive, closing, config, presence } = this.#context;
    if (closing.aborted || !this.members.has(member.id)) throw shuttingDown();
    if (member.subscriptions.has(name)) {
      throw new Refusal('already_joined', `You are in ${name} already.`);
    }
    if (!member.identity.may('join', name)) throw notAllowed('join', name);
    if (last !== undefined) {
      if (!member.identity.may('history', name)) throw mayNotRead(name);
      if (!archive.keeps(name)) {
        const what = `No messages are kept in the namespace ${namespaceOf(name)}`;
        throw new Refusal('not_enabled', `${what}: join without last.`);
      }
    }
    if (watches) {
      presence.check(name);
      if (!member.identity.may('presence', name)) throw notAllowed('see who is in', name);
    }
    const { maxRoomsPerMember } = config;
    if (maxRoomsPerMember > 0 && member.subscriptions.size >= maxRoomsPerMember) {
      throw new Refusal(
        'too_many_rooms',
        `You are in ${member.subscriptions.size} rooms; ${maxRoomsPerMember} are allowed.`,
      );
    }
  }

  #endReplay({ replay }: Subscription): void {
    if (replay !== null) this.#context.replays.end(replay, 'left');
  }

  #enter(member: Member, room: Room, recovery: Recovery): Joined {
    const { broker, events, observer, presence, replays } = this.#context;
    const { seq, epoch, name, term, last } = room;
    const { recover, sent, isKept } = recovery.answer(room);
    const subscription = new Subscription(member, name, this.policyOf(name), term, sent);
    // The app may have ended the connection when it was asked for a permission.
    if (!this.members.has(member.id)) throw shuttingDown();
    member.join(subscription);
    room.add(subscription);
    presence.entered(subscription);
    if (isKept) replays.begin(subscription, room);
    else if (sent < last) subscription.outbox.miss(subscription, last, 'expired');
    if (recover !== undefined) observer.recovered(recover.result);
    if (events.wanted.joined) events.tell('joined', whoIn(member, name));
    this.notice.tell(member);
    const isUp = broker.state(name) === 'up';
    return { seq, epoch, members: room.size, recover, ...(isUp ? {} : { stale: true }) };
  }
}

/** @throws Refusal `not_joined` */
export function subscriptionOf(member: Member, room: string): Subscription {
  const subscription = member.subscriptions.get(room);
  if (subscription !== undefined) return subscription;
  throw new Refusal('not_joined', `You are not in ${room}; join it first.`);
}

export const notAllowed = (what: string, room: string) =>
  new Refusal('not_allowed', `You may not ${what} ${room}.`);

const whoIn = ({ id, identity }: Member, room: string) => ({
  member: id,
  user: identity.user,
  room,
});
