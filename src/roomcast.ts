/**
 * The object that an app holds: its interface, and the checks of the arguments it is called with.
 * `compose.ts` builds the parts behind it.
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

/** The result of a shutdown. */
export interface CloseReport extends Drained {
  /** Names of the operations still pending at the deadline, such as calls of the broker. */
  readonly waiting: readonly string[];
}

export interface Roomcast {
  /**
   * Serves rooms on an HTTP server of the app, at `/ws` and below `/sockjs`, or, with `pathPrefix`, at every
   * path below it. The app handles all other requests and upgrades. May be called for several servers.
   *
   * @returns a function that detaches it; members stay connected
   * @throws Refusal `bad_command` if `server` is not a server of `node:http` or `node:https`
   */
  attach(server: HttpServer): () => void;
  /**
   * Answers a request to one of its paths and returns true; for any other it calls `next` and returns false.
   * Works as a middleware of Express and connect. Register it before any middleware that reads bodies.
   */
  readonly handle: (
    request: IncomingMessage,
    response: ServerResponse,
    next?: () => void,
  ) => boolean;
  /** Takes an upgrade to one of its paths (arguments as in the `upgrade` event); else returns false. */
  readonly handleUpgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => boolean;
  /**
   * Publishes a value, serialized with `JSON.stringify`, after the checks of the HTTP API.
   *
   * @throws Refusal as a rejection: `bad_room`, `bad_command`, `too_deep`, `message_too_big`,
   *   `room_busy`, `broker_unavailable`, `broker_uncertain`, `shutting_down`
   */
  publish(room: string, data: unknown, key?: string): Promise<Position>;
  /** All connected members. */
  members(): MemberInfo[];
  /** All rooms that have members. */
  rooms(): RoomInfo[];
  /**
   * Closes the connection of a member, by default with 4003, which tells the client not to reconnect.
   * Returns false if no member has this id.
   *
   * @throws Refusal `bad_command` for an unknown reason, or an id that is not a string
   */
  kick(member: string, reason?: CloseReason): boolean;
  /**
   * Closes all connections of a user, as `kick` does; returns how many. The user can reconnect.
   *
   * @throws Refusal `bad_command` for an unknown reason, `not_enabled` without keys
   */
  kickUser(user: string, reason?: CloseReason): number;
  /**
   * Revokes a user or a token, everywhere (close code 4005) or in some rooms, before it returns.
   *
   * @throws Refusal `bad_command`, `not_enabled`, `revocations_full`
   */
  revoke(revocation: RevocationRequest): Cut;
  /**
   * Calls `listener` for each event of this name, after the turn of the loop in which the event occurs.
   * The server logs what the listener throws or rejects with. Returns a function that removes it.
   *
   * @throws Refusal `bad_command` for an unknown event, or a listener that is not a function
   */
  on<Name extends EventName>(event: Name, listener: Listener<Name>): () => void;
  /** All metrics, in the text format of Prometheus; to use the app's own registry, see `registry`. */
  metrics(): Promise<string>;
  /** The locks held and waited for now. */
  locks(): LockSnapshot;
  /**
   * Shuts down within `shutdownGraceMs`: notifies and closes the members and answers the requests in
   * progress. A server it is attached to keeps running. May be called at any time; every call returns
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
  /** One function for each attached server, which detaches it. */
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
