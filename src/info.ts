/**
 * Snapshots of members and rooms for callers outside: plain values, copied at the time of the call.
 *
 * Not here: authorization of the caller (`http/`), the same numbers as metrics (`metrics/`).
 */
import type { HealthState } from './protocol/events.js';
import type { Member } from './room/member.js';
import type { Room } from './room/room.js';
import type { TransportName } from './transport/transport.js';

export interface MemberInfo {
  /** The id that its `welcome` frame carried. */
  readonly id: string;
  /** The user of its token; null without one. */
  readonly user: string | null;
  readonly transport: TransportName;
  /** Address of the client, resolved according to `trustProxy`. */
  readonly address: string;
  /** Milliseconds since 1970. */
  readonly connectedAt: number;
  /** Names of the rooms it has joined. */
  readonly rooms: readonly string[];
  readonly health: HealthState;
  readonly queued: { readonly messages: number; readonly bytes: number };
  /** Age of the oldest undelivered message, in milliseconds; 0 without one. */
  readonly lagMs: number;
  /** Round trip of the latest heartbeat, in milliseconds; null before the first. */
  readonly rttMs: number | null;
}

export interface RoomInfo {
  readonly room: string;
  /** Members in this process. */
  readonly members: number;
  /** Sequence number of the latest message. */
  readonly seq: number;
  /** Epoch that `seq` belongs to. */
  readonly epoch: string;
}

/** `now`: from `nowMs()`. */
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
