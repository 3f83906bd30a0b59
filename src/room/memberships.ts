/**
 * The members of a server, and which rooms each is in: join, leave, the end of a connection, and what it
 * costs a member to be somebody else or to be allowed less.
 *
 * V15: whether a member may be in a room is asked at its join, after each wait of that, and whenever who
 * it is changes; the cut is in the same step.
 *
 * Not here: what a client may say (`session/session.ts`), which rooms there are (`rooms.ts`), how
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
import { Recovery, type Wish } from './recovery.js';
import type { Replays } from './replays.js';
import type { Room } from './room.js';
import type { Rooms } from './rooms.js';
import { Subscription } from './subscription.js';

export interface Joined extends Position {
  readonly members: number;
  /** What has become of the wish, where there was one. */
  readonly recover?: Recover | undefined;
  /** The broker cannot be reached now. */
  readonly stale?: true | undefined;
}

/** What a member that joins asks for. */
export interface Wanting extends Wish {
  /** To be told who is there. */
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
  /** Nobody joins any more. */
  readonly closing: AbortSignal;
}

export class Memberships {
  /** All connections, by id. */
  readonly members = new Map<string, Member>();
  /** Tells them what the broker is like. */
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

  /** Policies are as the options say now, for every join from here on. */
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
   * Takes the member out of every room and lets go of what is held for it. Idempotent. `isFinal`: it was
   * made to go, so that nobody waits for its user to come back.
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
      if (events.wanted.left) events.tell('left', { member: member.id, room: room.name });
    }
    member.subscriptions.clear();
    member.end();
    this.#departures.run();
  }

  /**
   * Makes the member one of the room, at once where somebody is in it already. `tell` is called in the
   * same step, so that what it tells the member comes before anything of the room.
   *
   * @throws Refusal `already_joined`, `not_allowed`, `too_many_rooms`, `no_more_rooms`, `not_enabled`,
   *   `broker_unavailable`, `shutting_down`; as a rejection where the broker has to be asked.
   */
  join(
    member: Member,
    name: string,
    wanting: Wanting = {},
    tell: (joined: Joined) => void = () => {},
  ): MaybePromise<Joined> {
    const { archive, broker, calls, pages, presence, rooms } = this.#context;
    const { since, last } = wanting;
    const isKept = (since !== undefined || last !== undefined) && archive.keeps(name);
    const settled = broker.settled === undefined ? null : () => calls.settled(name);
    const recovery = new Recovery(wanting, isKept ? pages : null, settled);
    return rooms.enter(
      name,
      member.id,
      () => this.checkJoin(member, name, wanting),
      // Who may not read it is told what it has missed, as where nothing is kept.
      (room) => recovery.prepare(room, member.identity.may('history', name)),
      (room) => {
        const joined = this.#enter(member, room, recovery);
        tell(joined);
        // It is told who is there behind that.
        if (wanting.presence) presence.watch(subscriptionOf(member, name));
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
    if (events.wanted.left) events.tell('left', { member: member.id, room: name });
    rooms.closeIfEmpty(room);
  }

  /**
   * The member is somebody else from now on, or may do more or less than before: it leaves the rooms
   * that it may not be in any more, here and now. Returns how many they are.
   */
  identify(member: Member, identity: Identity): number {
    // Before anything has changed: all of it is done, or nothing.
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

  /** Lets go of what the member reads again: of what it has missed it is told when it leaves, and need not when it is gone. */
  stopReading(member: Member): void {
    this.#context.backfills.stop(member);
    for (const subscription of member.subscriptions.values()) this.#endReplay(subscription);
  }

  /** @throws Refusal where the member may not join the room now */
  checkJoin(member: Member, name: string, { last, presence: watches }: Wanting = {}): void {
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
    member.join(subscription);
    room.add(subscription);
    presence.entered(subscription);
    if (isKept) replays.begin(subscription, room);
    else if (sent < last) subscription.outbox.miss(subscription, last, 'expired');
    if (recover !== undefined) observer.recovered(recover.result);
    if (events.wanted.joined) events.tell('joined', { member: member.id, room: name });
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
