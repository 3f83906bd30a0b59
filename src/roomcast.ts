/**
 * What a program holds of a roomcast, and the checks of what it is given there. What it is made of is put
 * together in `compose.ts`.
 */
import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { attach, type Taker } from './attachment.js';
import type { RevocationRequest } from './auth/revocations.js';
import type { Position } from './broker/broker.js';
import { CLOSE, type CloseReason, Refusal } from './errors.js';
import { EVENTS, type EventName, type Events, type Listener } from './events.js';
import { type MemberInfo, memberInfo, type RoomInfo, roomInfo } from './info.js';
import type { Detector, LockSnapshot } from './lock/index.js';
import type { Metrics } from './metrics/registry.js';
import { show } from './options/check.js';
import { type CommandLimits, checkPublish, jsonValueOf } from './protocol/fields.js';
import type { Hub } from './room/hub.js';
import type { Member } from './room/member.js';
import type { Cut, People } from './session/people.js';
import type { Drained } from './session/sessions.js';
import { nowMs } from './time.js';

/** What a shutdown came to. */
export interface CloseReport extends Drained {
  /** Names of what was still waited for at the deadline, such as calls of the broker. */
  readonly waiting: readonly string[];
}

export interface Roomcast {
  /**
   * Serves rooms on an HTTP server of the app, at `/ws` and below `/sockjs`, or everything that there is
   * below `pathPrefix`; every other request and upgrade is left to the app. May be called for several servers.
   *
   * @returns what detaches it; members stay
   * @throws Refusal `bad_command` for what is no server of `node:http` or `node:https`
   */
  attach(server: HttpServer): () => void;
  /**
   * Answers a request that is for it; of any other it returns false, or calls `next`. Works as a
   * middleware of Express and connect, which has to stand before any that reads bodies.
   */
  readonly handle: (
    request: IncomingMessage,
    response: ServerResponse,
    next?: () => void,
  ) => boolean;
  /** Takes an upgrade that is for it, as the event `upgrade` of a server has it; false of any other. */
  readonly handleUpgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => boolean;
  /**
   * Publishes a value as `JSON.stringify` writes it, with the checks of the HTTP API.
   *
   * @throws Refusal as a rejection: `bad_room`, `bad_command`, `too_deep`, `message_too_big`,
   *   `room_busy`, `broker_unavailable`, `broker_uncertain`, `shutting_down`
   */
  publish(room: string, data: unknown, key?: string): Promise<Position>;
  /** Who is connected now. */
  members(): MemberInfo[];
  /** The rooms that somebody is in now. */
  rooms(): RoomInfo[];
  /**
   * Ends the connection of a member, by default with 4003, which says not to come back. False when no
   * member has this id.
   *
   * @throws Refusal `bad_command` for a reason that there is none of, or what is no id
   */
  kick(member: string, reason?: CloseReason): boolean;
  /**
   * Ends the connections of a user, as `kick` does one; how many they were. It may come back with its token.
   *
   * @throws Refusal `bad_command` for a reason that there is none of, `not_enabled` without keys
   */
  kickUser(user: string, reason?: CloseReason): number;
  /**
   * Cuts off a user or a token, everywhere (with 4005) or in some rooms, before it returns.
   *
   * @throws Refusal `bad_command`, `not_enabled`, `revocations_full`
   */
  revoke(revocation: RevocationRequest): Cut;
  /**
   * Calls `listener` for each event of this name, after the turn of the loop that it happened in.
   * What it throws or rejects with is logged. Returns what ends it.
   *
   * @throws Refusal `bad_command` for an event that there is none of, or a listener that is no function
   */
  on<Name extends EventName>(event: Name, listener: Listener<Name>): () => void;
  /** Everything counted, in the text format of Prometheus; for a registry of the app see `registry`. */
  metrics(): Promise<string>;
  /** What of its locks is held and waited for now. */
  locks(): LockSnapshot;
  /**
   * Shuts down within `shutdownGraceMs`: members are told to go and requests under way are answered.
   * A server it is attached to goes on without it. May be called at any moment; every call returns
   * the same promise, which never rejects.
   */
  close(): Promise<CloseReport>;
}

export interface RoomcastParts {
  readonly hub: Hub;
  readonly people: People;
  readonly events: Events;
  readonly detector: Detector;
  readonly metrics: Pick<Metrics, 'scrape'>;
  readonly limits: CommandLimits;
  readonly taker: Taker;
  /** What detaches it from each server that it is attached to. */
  readonly detachers: Set<() => void>;
  closeMember(member: Member, reason: CloseReason): void;
  close(): Promise<CloseReport>;
}

export function roomcastOf({
  hub,
  people,
  events,
  detector,
  metrics,
  limits,
  taker,
  detachers,
  closeMember,
  close,
}: RoomcastParts): Roomcast {
  return {
    attach(server) {
      const detach = attach(server, taker);
      const once = () => {
        if (detachers.delete(once)) detach();
      };
      detachers.add(once);
      return once;
    },
    handle(request, response, next) {
      if (taker.isOurs(request)) {
        taker.request(request, response);
        return true;
      }
      next?.();
      return false;
    },
    handleUpgrade(request, socket, head) {
      if (!taker.isOurs(request)) return false;
      taker.upgrade(request, socket, head);
      return true;
    },
    async publish(room, data, key) {
      const checked = checkPublish(room, jsonValueOf(data), key, undefined, limits);
      return hub.publish(null, checked.room, checked.data, { key: checked.key });
    },
    members() {
      const now = nowMs();
      return Array.from(hub.members.values(), (member) => memberInfo(member, now));
    },
    rooms: () =>
      Array.from(hub.rooms.values())
        .filter(({ size }) => size > 0)
        .map(roomInfo),
    kick(id, reason = 'forbidden') {
      if (typeof id !== 'string') throw notAllowed('member', id, 'the id of a member');
      checkReason(reason);
      const member = hub.members.get(id);
      if (member === undefined) return false;
      closeMember(member, reason);
      return true;
    },
    kickUser(user, reason = 'forbidden') {
      checkReason(reason);
      return people.close(user, reason);
    },
    revoke: (asked) => people.revoke(asked),
    on(name, listener) {
      if (!EVENTS.includes(name)) throw notAllowed('event', name, `one of ${EVENTS.join(', ')}`);
      if (typeof listener !== 'function') {
        throw notAllowed('listener', listener, 'a function');
      }
      return events.on(name, listener);
    },
    metrics: () => metrics.scrape(),
    locks: () => detector.snapshot(),
    close,
  };
}

const notAllowed = (what: string, value: unknown, allowed: string) =>
  new Refusal('bad_command', `${what} ${show(value)} is not allowed: give ${allowed}`);

function checkReason(reason: CloseReason): void {
  if (Object.hasOwn(CLOSE, reason)) return;
  throw notAllowed('reason', reason, `one of ${Object.keys(CLOSE).join(', ')}`);
}
