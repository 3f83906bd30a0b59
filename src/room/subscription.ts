/** One member in one room: how far it has come in the room's order (V4). */

import type { QueuePolicy } from '../options/config.js';
import type { Member } from './member.js';

export class Subscription {
  // First what a delivery looks at, so that it lies together.
  readonly member: Member;
  hasLeft = false;
  /** Everything up to here was offered to the member. */
  offered: number;
  /** Everything up to here was handed to the transport or announced in a gap. */
  sent: number;
  /** The highest seq an overflow has cost: tells an `overflow` gap from a `conflated` one. */
  overflowed = 0;
  /** Place in the room's member list; only `Room` touches it. */
  index = -1;
  readonly room: string;
  readonly policy: QueuePolicy;

  constructor(member: Member, room: string, policy: QueuePolicy, seq: number) {
    this.member = member;
    this.room = room;
    this.policy = policy;
    this.sent = seq;
    this.offered = seq;
  }
}
