/**
 * Values read at a scrape instead of counted: numbers of members and rooms, queue sizes, lag. One pass over
 * the members that are behind computes all of them, so the other members cost a scrape next to nothing.
 *
 * Defines what the core must provide (`Gauges`). Keeps V9 (the result has the same size for any
 * number of members) and reads all queues at one instant, for V10.
 */
import type { HealthState } from '../protocol/events.js';
import { nowMs } from '../time.js';
import { TRANSPORTS, type Transport } from '../transport/transport.js';
import { LAG_BOUNDS, TOP } from './catalogue/members.js';

/** A member with queued or outstanding messages, or that is not healthy again yet. */
export interface Behind {
  readonly health: HealthState;
  readonly queuedMessages: number;
  readonly queuedBytes: number;
  /** Age of the oldest undelivered message in milliseconds; `now`: from `nowMs()`. */
  lagMs(now: number): number;
}

/** The current state of a server; `Hub` implements it. */
export interface Gauges {
  readonly rooms: { readonly size: number };
  readonly members: { values(): Iterable<{ readonly transport: Pick<Transport, 'framing'> }> };
  /** Every member that is behind; the others have empty queues. */
  readonly behind: Iterable<Behind>;
  /** The links to other workers, if there are any. */
  readonly mesh?: Mesh;
  /** Bytes held by all queues, and their limit. */
  readonly memory: { readonly bytes: number; readonly limit: number };
}

interface Mesh {
  readonly bytes: number;
  readonly lost: number;
  /** Published to the rooms that this worker owns, so that each message is counted once. */
  readonly published: number;
}

export interface Reading {
  readonly rooms: number;
  /** By index of `TRANSPORTS`. */
  readonly membersBy: Float64Array;
  readonly slowMembers: number;
  readonly queueMessages: number;
  readonly queueBytes: number;
  readonly queueBytesLimit: number;
  /** By index of `LAG_BOUNDS`, cumulative. */
  readonly lagAtMost: Float64Array;
  /** By rank, the furthest behind first; 0 if there are fewer members. */
  readonly topLagSeconds: Float64Array;
  readonly topQueueBytes: Float64Array;
}

/** Reads everything synchronously. */
export function read(gauges: Gauges): Reading {
  const now = nowMs();
  const lagAtMost = new Float64Array(LAG_BOUNDS.length);
  const topLagSeconds = new Float64Array(TOP);
  const topQueueBytes = new Float64Array(TOP);
  let behind = 0;
  let slowMembers = 0;
  let queueMessages = 0;
  for (const member of gauges.behind) {
    const lagSeconds = member.lagMs(now) / 1e3;
    lagAtMost[LAG_BOUNDS.findIndex((bound) => lagSeconds <= bound)]! += 1;
    rank(topLagSeconds, lagSeconds);
    rank(topQueueBytes, member.queuedBytes);
    queueMessages += member.queuedMessages;
    if (member.health !== 'healthy') slowMembers += 1;
    behind += 1;
  }
  const membersBy = new Float64Array(TRANSPORTS.length);
  let members = 0;
  for (const { transport } of gauges.members.values()) {
    membersBy[transport.framing.index]! += 1;
    members += 1;
  }
  lagAtMost[0]! += members - behind;
  for (let i = 1; i < lagAtMost.length; i += 1) lagAtMost[i]! += lagAtMost[i - 1]!;
  return {
    rooms: gauges.rooms.size,
    membersBy,
    slowMembers,
    queueMessages,
    queueBytes: gauges.memory.bytes,
    queueBytesLimit: gauges.memory.limit,
    lagAtMost,
    topLagSeconds,
    topQueueBytes,
  };
}

/** Inserts `value` into a descending list if it is large enough. */
function rank(top: Float64Array, value: number): void {
  let place = top.length - 1;
  if (value <= top[place]!) return;
  for (; place > 0 && value > top[place - 1]!; place -= 1) top[place] = top[place - 1]!;
  top[place] = value;
}
