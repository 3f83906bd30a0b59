/**
 * What is told of members and rooms to whoever asks from outside: plain values, copied at that moment.
 *
 * Not here: who may ask (`http/`), the same numbers as metrics (`metrics/`).
 */
import type { HealthState } from './protocol/events.js';
import type { Member } from './room/member.js';
import type { Room } from './room/room.js';
import type { TransportName } from './transport/transport.js';

export interface MemberInfo {
  /** As its `welcome` has it. */
  readonly id: string;
  /** Who its token says it is; null without one. */
  readonly user: string | null;
  readonly transport: TransportName;
  /** Of the peer, as `trustProxy` has it. */
  readonly address: string;
  /** Milliseconds since 1970. */
  readonly connectedAt: number;
  /** Those it is in. */
  readonly rooms: readonly string[];
  readonly health: HealthState;
  readonly queued: { readonly messages: number; readonly bytes: number };
  /** Age of the oldest undelivered message, in milliseconds; 0 without one. */
  readonly lagMs: number;
  /** Of the latest heartbeat, in milliseconds; null before one. */
  readonly rttMs: number | null;
}

export interface RoomInfo {
  readonly room: string;
  /** In this process. */
  readonly members: number;
  /** Of the latest message. */
  readonly seq: number;
  /** The order that `seq` counts in. */
  readonly epoch: string;
}

/** `now` is of `nowMs()`. */
export function memberInfo(member: Member, now: number): MemberInfo {
  const { id, identity, transport, connectedAt, health, roundTripSeconds } = member;
  return {
    id,
    user: identity.user,
    transport: transport.name,
    address: transport.remoteAddress,
    connectedAt,
    rooms: [...member.subscriptions.keys()],
    health,
    queued: { messages: member.queuedMessages, bytes: member.queuedBytes },
    lagMs: member.lagMs(now),
    rttMs: roundTripSeconds === null ? null : roundTripSeconds * 1e3,
  };
}

export function roomInfo({ name, size, seq, epoch }: Room): RoomInfo {
  return { room: name, members: size, seq, epoch };
}
