/**
 * What one room keeps of its past: its latest publications without a hole, within count, bytes and age
 * (V18), each counted as what it costs on the heap (V3). It holds the very publications that are
 * delivered.
 *
 * A ring whose slots go by `seq`: the publication n is at `n % slots`.
 *
 * Not here: the bound of all rooms together (`histories.ts`), the numbers of a room (`memory.ts`).
 */
import type { HistoryPolicy } from '../options/config.js';
import { MAX_HEAD } from '../protocol/json.js';
import type { Publication, Range } from './broker.js';

/** Why a publication is kept no longer: a bound, one of all rooms, its room is forgotten, or by request. */
export const EVICTIONS = ['count', 'bytes', 'age', 'total', 'idle', 'purge'] as const;
export type Eviction = (typeof EVICTIONS)[number];

/** What all rooms of a broker keep, and what they have let go. */
export interface Kept {
  messages: number;
  bytes: number;
  readonly evicted: Record<Eviction, number>;
}

interface Entry {
  readonly publication: Publication;
  /** What it costs, in bytes. */
  readonly bytes: number;
  /** Bytes of UTF-8 of its data. */
  readonly dataBytes: number;
  /** By `nowMs()`. */
  readonly at: number;
}

/** What a publication costs beside its texts: objects, and its share of the ring. Measured: 220 to 245. */
const OVERHEAD_BYTES = 250;
/** A text that is shorter is never cut out of another, but copied. */
const LEAST_CUT = 13;
/** What a text keeps that was cut out of the end of a frame, beside itself. */
const FRAME_BYTES = MAX_HEAD + 64;
const FIRST_SLOTS = 16;
const NO_SLOTS: (Entry | undefined)[] = [];

export class History {
  /** Among all that keep anything. */
  line: unknown = null;
  before: History | null = null;
  after: History | null = null;
  #policy: HistoryPolicy;
  readonly #kept: Kept;
  #slots = NO_SLOTS;
  #bytes = 0;
  /** Of the oldest entry, or of the next to come. */
  #oldest: number;
  #next: number;

  /** `kept` is of all rooms; `next` is the `seq` of the first publication to come. */
  constructor(policy: HistoryPolicy, kept: Kept, next = 1) {
    this.#policy = policy;
    this.#kept = kept;
    this.#oldest = next;
    this.#next = next;
  }

  get length(): number {
    return this.#next - this.#oldest;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** `seq` of the oldest that is kept; when nothing is, of the next to come. */
  get oldest(): number {
    return this.#oldest;
  }

  /** When the latest that is kept was taken in, by `nowMs()`; there is one. */
  get latestAt(): number {
    return this.#at(this.#next - 1).at;
  }

  /** Takes in the next publication of the room; `now` is of `nowMs()`. O(1), amortised. */
  append(publication: Publication, now: number): void {
    const { historyMessages, historyBytes } = this.#policy;
    const dataBytes = Buffer.byteLength(publication.data);
    const bytes = costOf(publication, dataBytes);
    this.expire(now);
    if (this.length === historyMessages) this.#evictOldest('count');
    while (this.length > 0 && this.#bytes + bytes > historyBytes) this.#evictOldest('bytes');
    if (this.length === this.#slots.length) this.#resize(Math.max(FIRST_SLOTS, this.length * 2));
    this.#slots[publication.seq % this.#slots.length] = { publication, bytes, dataBytes, at: now };
    this.#next = publication.seq + 1;
    this.#bytes += bytes;
    this.#kept.messages += 1;
    this.#kept.bytes += bytes;
    // It does not fit into an empty one.
    if (bytes > historyBytes) this.#evictOldest('bytes');
  }

  /** Has other bounds from now on, which is of `nowMs()`. */
  rebound(policy: HistoryPolicy, now: number): void {
    this.#policy = policy;
    this.expire(now);
    while (this.length > policy.historyMessages) this.#evictOldest('count');
    while (this.#bytes > policy.historyBytes) this.#evictOldest('bytes');
  }

  /** Lets go of what is older than it may be; `now` is of `nowMs()`. */
  expire(now: number): void {
    const before = now - this.#policy.historyMs;
    while (this.length > 0 && this.#at(this.#oldest).at <= before) this.#evictOldest('age');
  }

  /** Lets go of everything up to the publication `through`. */
  evict(why: Eviction, through = this.#next - 1): void {
    while (this.length > 0 && this.#oldest <= through) this.#evictOldest(why);
  }

  /** What is kept of the range, within its bounds. */
  read({ from, to, maxMessages, maxBytes }: Range): Publication[] {
    const found: Publication[] = [];
    const first = Math.max(from, this.#oldest);
    const end = Math.min(to + 1, this.#next, first + maxMessages);
    let bytes = 0;
    for (let seq = first; seq < end; seq += 1) {
      const { publication, dataBytes } = this.#at(seq);
      bytes += dataBytes;
      if (bytes > maxBytes && found.length > 0) break;
      found.push(publication);
    }
    return found;
  }

  #at(seq: number): Entry {
    return this.#slots[seq % this.#slots.length] as Entry;
  }

  #evictOldest(why: Eviction): void {
    const { bytes } = this.#at(this.#oldest);
    this.#slots[this.#oldest % this.#slots.length] = undefined;
    this.#oldest += 1;
    this.#bytes -= bytes;
    this.#kept.messages -= 1;
    this.#kept.bytes -= bytes;
    this.#kept.evicted[why] += 1;
    if (this.length === 0) this.#slots = NO_SLOTS;
    else if (this.#slots.length > FIRST_SLOTS && this.length * 4 <= this.#slots.length) {
      this.#resize(this.#slots.length / 2);
    }
  }

  #resize(length: number): void {
    const slots = new Array<Entry | undefined>(length);
    for (let seq = this.#oldest; seq < this.#next; seq += 1) slots[seq % length] = this.#at(seq);
    this.#slots = slots;
  }
}

/** Bytes on the heap; `dataBytes` are those of UTF-8. */
function costOf(
  { data, from, user, key, event, except, trace }: Publication,
  dataBytes: number,
): number {
  let bytes = OVERHEAD_BYTES + heapBytes(data, dataBytes);
  for (const text of [from, user, key, event, except, trace]) {
    if (text !== null && text !== undefined) bytes += 2 * text.length + 24;
  }
  return bytes;
}

/** A text has one byte a unit where all of it is Latin-1, else two; one of ASCII may be a part of its frame. */
function heapBytes(text: string, utf8: number): number {
  if (utf8 !== text.length) return Math.max(utf8, 2 * text.length);
  return utf8 < LEAST_CUT ? utf8 : utf8 + FRAME_BYTES;
}
