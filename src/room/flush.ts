/**
 * The messages of a room on their way to its members: framed once a format, joined once a
 * framing, shared by all that get the same (V6).
 *
 * Not here: whose turn it is (`room.ts`), what a member does with them (`outbox.ts`).
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

/** What waits for the next flush. */
export interface Pending {
  /** Its place, or what it stands for, in local numbers; both included. */
  readonly first: number;
  readonly last: number;
  readonly key: string | undefined;
  readonly acceptedAt: number;
  /** A message, or what is to be told in its place. */
  readonly content: Publication | Event;
  /** About as many as it will have, as UTF-8. */
  readonly bytes: number;
}

const isMessage = (content: Publication | Event): content is Publication => !('type' in content);

/** In place of a message that a member is not to be sent. */
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
    // Mostly there is one batch, and often one message.
    this.#cut(first === 0 ? frames : frames.slice(first), bytes);
  }

  #cut(part: readonly Frame[], bytes: number): void {
    const sent: Buffer[] = [];
    for (const frame of part) if (frame.bytes.length > 0) sent.push(frame.bytes);
    const joined = sent.length === 0 ? NOT_SENT : this.framing.join(sent, bytes);
    this.batches.push(new Batch(part, countMessages(part), joined));
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
  /** A change of the epoch is in it. */
  readonly hasReset: boolean;
  /** By format. */
  readonly #frames: Frame[][] = [];
  /** By kind of member; what all get but the latest to join, and those a message is not for. */
  readonly #batches: (Batches | undefined)[] = [];
  readonly #own: Batches[] = [];
  /** Members that one of the messages is not for, or null where there is none. */
  readonly #excepted: ReadonlySet<string> | null;
  /** To be called when it is done, where a message of it is traced. */
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
   * Reads what the next `count` members will be asked. Among thousands nothing of a member is in a
   * cache, and with a system call between each read is waited for alone; here they are under way
   * together: 7 % less CPU a delivery when messages come one at a time (bench/README.md).
   */
  prefetch(count: number): void {
    const end = Math.min(this.next + count, this.members.length);
    for (let i = this.next; i < end; i += 1) {
      if ((this.members[i] as Subscription).outbox.prefetch()) this.prefetched += 1;
    }
  }

  /** What the member is to be offered, or null when it joined after all of it. */
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
      // A hole has grown behind its join.
      if (frame.seq <= offered) return this.#frame(restOf(pending, offered), format);
      return exceptOf(pending) === member.id ? notSent(frame) : frame;
    });
    const own = new Batches(outbox.transport.framing, frames);
    this.#own.push(own);
    return own;
  }

  /** Counts what members have had whole since the last call. */
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

/** What of a hole lies behind `offered`. */
function restOf(pending: Pending, offered: number): Pending {
  const gap = pending.content as Extract<Event, { type: 'gap' }>;
  const count = pending.last - offered;
  const content = { ...gap, from: gap.to - count + 1, count };
  return { ...pending, first: offered + 1, content };
}

const exceptOf = ({ content }: Pending) => (isMessage(content) ? content.except : undefined);

/** Takes the place of a message in the order of its room, for a member that is not to be sent it. */
const notSent = ({ room, seq, last, acceptedAt }: Frame): Frame =>
  new Frame(room, seq, last, false, undefined, acceptedAt, NOT_SENT);
