/** One member in one room: how far it has come in the room's order (V4). */

import type { QueuePolicy } from '../config.js';
import type { Member } from './member.js';

export class Subscription {
  /** Everything up to here was handed to the transport or announced in a gap. */
  sent: number;
  /** Everything up to here was offered to the member. */
  offered: number;
  /** The highest seq an overflow has cost: tells an `overflow` gap from a `conflated` one. */
  overflowed = 0;
  hasLeft = false;
  /** Place in the room's member list; only `Room` touches it. */
  index = -1;

  constructor(
    readonly member: Member,
    readonly room: string,
    readonly policy: QueuePolicy,
    seq: number,
  ) {
    this.sent = seq;
    this.offered = seq;
  }
}
