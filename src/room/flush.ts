/**
 * One flush of a room: encodes the pending messages once per format and joins them once per framing;
 * members with the same format and framing share the batches (V6).
 *
 * Not here: the loop over members (`room.ts`), queueing for one member (`outbox.ts`).
 */

import type { Publication } from '../broker/broker.js';
import type { Event } from '../protocol/events.js';
import { nowMs } from '../time.js';
import type { Framing } from '../transport/transport.js';
import type { Format } from './format.js';
import { Batch, countMessages, Frame } from './frame.js';
import type { Observer } from './observer.js';
import { BATCH_BYTES } from './outbox.js';
import type { Subscription } from './subscription.js';
import { type Delivered, MAX_LINKS, type Trace } from './trace.js';

/** A message, gap or reset that waits for the next flush. */
export interface Pending {
  /** The local numbers it covers, both included. */
  readonly first: number;
  readonly last: number;
  readonly key: string | undefined;
  readonly acceptedAt: number;
  /** A publication, or the event that takes its place in the order. */
  readonly content: Publication | Event;
  /** Estimated size as UTF-8. */
  readonly bytes: number;
}

const isMessage = (content: Publication | Event): content is Publication => !('type' in content);

/** Stands in for a message that the member must not be sent (`except`). */
const NOT_SENT = Buffer.alloc(0);

/** Frames, joined for one framing in batches of at most `BATCH_BYTES`. */
class Batches {
  readonly batches: Batch[] = [];
  readonly messages: number;

  constructor(
    readonly framing: Framing,
    frames: readonly Frame[],
  ) {
    this.messages = countMessages(frames);
    let first = 0;
    let bytes = 0;
    for (let next = 0; next < frames.length; next += 1) {
      const { length } = (frames[next] as Frame).bytes;
      if (bytes > 0 && bytes + length > BATCH_BYTES) {
        this.#cut(frames.slice(first, next), bytes);
        first = next;
        bytes = 0;
      }
      bytes += length;
    }
    // Usually there is one batch, often with one message.
    this.#cut(first === 0 ? frames : frames.slice(first), bytes);
  }

  #cut(part: readonly Frame[], bytes: number): void {
    const sent: Buffer[] = [];
    for (const frame of part) if (frame.bytes.length > 0) sent.push(frame.bytes);
    const joined = sent.length === 0 ? NOT_SENT : this.framing.join(sent, bytes);
    this.batches.push(new Batch(part, countMessages(part), joined));
  }

  /** Counts the batches that members received whole since the last call. */
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

/** One flush over a member snapshot. In larger rooms it takes several event loop turns. */
export class Flush {
  /** Index of the next member. */
  next = 0;
  /** Only counted so that the compiler does not remove the prefetching reads. */
  prefetched = 0;
  readonly first: number;
  readonly last: number;
  /** The flush contains a change of the epoch. */
  readonly hasReset: boolean;
  /** By format index. */
  readonly #frames: Frame[][] = [];
  /** By kind of member; for all members except recent joiners and members excluded from a message. */
  readonly #batches: (Batches | undefined)[] = [];
  readonly #own: Batches[] = [];
  /** Members excluded from one of the messages; null if there is none. */
  readonly #excepted: ReadonlySet<string> | null;
  /** Called when the flush is done, if one of its messages is traced. */
  readonly delivered: Delivered | null;

  constructor(
    readonly room: string,
    readonly members: readonly Subscription[],
    readonly pending: readonly Pending[],
    trace: Trace | null = null,
  ) {
    this.delivered = trace === null ? null : begin(trace, room, members.length, pending);
    this.first = (pending[0] as Pending).first;
    this.last = (pending[pending.length - 1] as Pending).last;
    let hasReset = false;
    let excepted: Set<string> | null = null;
    for (const each of pending) {
      const { content } = each;
      if (!isMessage(content)) hasReset ||= content.type === 'reset';
      else if (content.except !== undefined) {
        excepted ??= new Set();
        excepted.add(content.except);
      }
    }
    this.hasReset = hasReset;
    this.#excepted = excepted;
  }

  /**
   * Reads ahead the fields of the next `count` members. In a room of thousands a member is in no cache,
   * and with a system call between members each read would be waited for alone. Here the reads overlap,
   * which takes 7 % less CPU per delivery when messages come one at a time (bench/README.md).
   */
  prefetch(count: number): void {
    const end = Math.min(this.next + count, this.members.length);
    for (let i = this.next; i < end; i += 1) {
      if ((this.members[i] as Subscription).outbox.prefetch()) this.prefetched += 1;
    }
  }

  /** The batches to offer to the member; null if it joined after all of them. */
  for({ outbox, offered, member }: Subscription): Batches | null {
    const { format, kind } = outbox;
    if (offered < this.first && !this.#excepted?.has(member.id)) {
      const made = this.#batches[kind];
      if (made !== undefined) return made;
      const all = new Batches(outbox.transport.framing, this.#framesFor(format));
      this.#batches[kind] = all;
      return all;
    }
    if (offered >= this.last) return null;
    const frames = this.#framesFor(format).flatMap((frame, i) => {
      const pending = this.pending[i] as Pending;
      if (frame.last <= offered) return [];
      // The gap began before the member joined and grew afterwards.
      if (frame.seq <= offered) return this.#frame(restOf(pending, offered), format);
      return exceptOf(pending) === member.id ? notSent(frame) : frame;
    });
    const own = new Batches(outbox.transport.framing, frames);
    this.#own.push(own);
    return own;
  }

  /** Counts the batches that members received whole since the last call. */
  settle(observer: Observer): void {
    const now = nowMs();
    for (const batches of this.#batches) batches?.settle(observer, now);
    for (const batches of this.#own) batches.settle(observer, now);
    this.#own.length = 0;
  }

  #framesFor(format: Format): readonly Frame[] {
    const made = this.#frames[format.index];
    if (made !== undefined) return made;
    const frames = this.pending.map((each) => this.#frame(each, format));
    this.#frames[format.index] = frames;
    return frames;
  }

  #frame({ first, last, key, acceptedAt, content }: Pending, format: Format): Frame {
    const counted = isMessage(content);
    const bytes = counted ? format.encodeMessage(content) : format.encode(content);
    return new Frame(this.room, first, last, counted, key, acceptedAt, bytes);
  }
}

function begin(
  trace: Trace,
  room: string,
  members: number,
  pending: readonly Pending[],
): Delivered | null {
  const messages = pending.flatMap(({ content }) => (isMessage(content) ? content : []));
  const traced = messages.flatMap(({ trace }) => trace ?? []).slice(0, MAX_LINKS);
  return traced.length === 0 ? null : trace.deliver(room, traced, messages.length, members);
}

/** The part of a gap after `offered`. */
function restOf(pending: Pending, offered: number): Pending {
  const gap = pending.content as Extract<Event, { type: 'gap' }>;
  const count = pending.last - offered;
  const content = { ...gap, from: gap.to - count + 1, count };
  return { ...pending, first: offered + 1, content };
}

const exceptOf = ({ content }: Pending) => (isMessage(content) ? content.except : undefined);

/** An empty frame that takes a message's place in the order, for a member that must not be sent it. */
const notSent = ({ room, seq, last, acceptedAt }: Frame): Frame =>
  new Frame(room, seq, last, false, undefined, acceptedAt, NOT_SENT);
