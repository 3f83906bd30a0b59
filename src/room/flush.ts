/**
 * The messages of a room on their way to its members: framed once an encoding, joined once a
 * framing, shared by all that get the same (V6).
 *
 * Not here: whose turn it is (`room.ts`), what a member does with them (`member.ts`).
 */

import { nowMs } from '../time.js';
import type { Framing } from '../transport/transport.js';
import { Batch, countMessages, Frame } from './frame.js';
import { BATCH_BYTES } from './member.js';
import type { Observer } from './observer.js';
import type { Subscription } from './subscription.js';

/** A message, or a hole of the broker's, waiting for the next flush. */
export interface Pending {
  readonly seq: number;
  readonly last: number;
  readonly counted: boolean;
  readonly key: string | undefined;
  readonly acceptedAt: number;
  readonly text: string;
  /** Of the text, as UTF-8. */
  readonly bytes: number;
}

/** Frames, joined for one framing in batches of at most `BATCH_BYTES`. */
class Batches {
  readonly batches: Batch[] = [];
  readonly messages: number;

  constructor(
    readonly framing: Framing,
    frames: readonly Frame[],
  ) {
    this.messages = countMessages(frames);
    let part: Frame[] = [];
    let bytes = 0;
    const cut = () => {
      const joined = framing.join(
        part.map((frame) => frame.bytes),
        bytes,
      );
      this.batches.push(new Batch(part, countMessages(part), joined));
    };
    for (const frame of frames) {
      if (bytes > 0 && bytes + frame.bytes.length > BATCH_BYTES) {
        cut();
        part = [];
        bytes = 0;
      }
      part.push(frame);
      bytes += frame.bytes.length;
    }
    cut();
  }

  /** Counts the members that have had whole batches since the last call. */
  settle(observer: Observer, now: number): void {
    const transport = this.framing.index;
    for (const batch of this.batches) {
      const { toHealthy, toSlow } = batch;
      if (toHealthy + toSlow === 0) continue;
      batch.toHealthy = 0;
      batch.toSlow = 0;
      observer.sentBytes(transport, batch.bytes.length * (toHealthy + toSlow));
      for (const frame of batch.frames) {
        if (!frame.counted) continue;
        const seconds = (now - frame.acceptedAt) / 1000;
        if (toHealthy > 0) {
          observer.delivered(transport, false, seconds, toHealthy);
          observer.queueWaited(transport, false, seconds, toHealthy);
        }
        if (toSlow > 0) {
          observer.delivered(transport, true, seconds, toSlow);
          observer.queueWaited(transport, true, seconds, toSlow);
        }
      }
    }
  }
}

/** One flush on its way through a snapshot; larger rooms take several turns of the loop. */
export class Flush {
  /** Next place in `members`. */
  next = 0;
  /** Counted so that what is prefetched is not left out as of no use. */
  prefetched = 0;
  readonly first: number;
  readonly last: number;
  readonly #frames: Frame[][] = [];
  /** By framing; what all but the latest to join get. */
  readonly #batches: (Batches | undefined)[] = [];
  readonly #late: Batches[] = [];

  constructor(
    readonly room: string,
    readonly members: readonly Subscription[],
    readonly pending: readonly Pending[],
  ) {
    this.first = (pending[0] as Pending).seq;
    this.last = (pending[pending.length - 1] as Pending).last;
  }

  /**
   * Reads what the next `count` members will be asked. Among thousands nothing of a member is in a
   * cache, and with a system call between each read is waited for alone; here they are under way
   * together: 7 % less CPU a delivery when messages come one at a time (bench/README.md).
   */
  prefetch(count: number): void {
    const end = Math.min(this.next + count, this.members.length);
    for (let i = this.next; i < end; i += 1) {
      if ((this.members[i] as Subscription).member.prefetch()) this.prefetched += 1;
    }
  }

  /** What the member is to be offered, or null when it joined after all of it. */
  for({ member, offered }: Subscription): Batches | null {
    const { framing } = member.transport;
    if (offered < this.first) {
      const made = this.#batches[framing.index];
      if (made !== undefined) return made;
      const all = new Batches(framing, this.#framesFor(framing));
      this.#batches[framing.index] = all;
      return all;
    }
    if (offered >= this.last) return null;
    const newer = this.#framesFor(framing).filter(({ seq }) => seq > offered);
    const late = new Batches(framing, newer);
    this.#late.push(late);
    return late;
  }

  /** Counts what members have had whole since the last call. */
  settle(observer: Observer): void {
    const now = nowMs();
    for (const batches of this.#batches) batches?.settle(observer, now);
    for (const batches of this.#late) batches.settle(observer, now);
    this.#late.length = 0;
  }

  #framesFor({ encoding }: Framing): readonly Frame[] {
    const made = this.#frames[encoding.index];
    if (made !== undefined) return made;
    const frames = this.pending.map(
      ({ seq, last, counted, key, acceptedAt, text }) =>
        new Frame(this.room, seq, last, counted, key, acceptedAt, encoding.encode(text)),
    );
    this.#frames[encoding.index] = frames;
    return frames;
  }
}
