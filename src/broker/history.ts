/**
 * The history of one room: its latest publications without a hole, within count, bytes and age (V18),
 * each counted at its cost on the heap (V3). It holds the same publication objects that are delivered.
 *
 * A ring buffer indexed by `seq`: publication n is at `n % slots`.
 *
 * Not here: the byte limit of all rooms together (`histories.ts`), a room's numbers (`memory.ts`).
 */
import type { HistoryPolicy } from '../options/config.js';
import { MAX_HEAD } from '../protocol/json.js';
import type { Publication, Range } from './broker.js';

/**
 * Why an entry was evicted: a bound of the room, the total limit, an idle room was forgotten, or a
 * purge.
 */
export const EVICTIONS = ['count', 'bytes', 'age', 'total', 'idle', 'purge'] as const;
export type Eviction = (typeof EVICTIONS)[number];

/** Totals of all rooms of a broker: what is kept, and evictions by reason. */
export interface Kept {
  messages: number;
  bytes: number;
  readonly evicted: Record<Eviction, number>;
}

interface Entry {
  readonly publication: Publication;
  /** Cost on the heap, in bytes. */
  readonly bytes: number;
  /** Bytes of UTF-8 of the data. */
  readonly dataBytes: number;
  /** When it was appended, by `nowMs()`. */
  readonly at: number;
}

/**
 * Cost of a publication besides its strings: objects and its share of the ring. Measured: 220 to 245.
 */
const OVERHEAD_BYTES = 250;
/**
 * The engine copies shorter substrings; from this length a substring is a slice that keeps its parent
 * alive.
 */
const LEAST_CUT = 13;
/** Bytes that a slice of the end of a frame keeps alive besides itself. */
const FRAME_BYTES = MAX_HEAD + 64;
const FIRST_SLOTS = 16;
const NO_SLOTS: (Entry | undefined)[] = [];

export class History {
  /** Links of the list of non-empty histories. */
  line: unknown = null;
  before: History | null = null;
  after: History | null = null;
  #policy: HistoryPolicy;
  readonly #kept: Kept;
  #slots = NO_SLOTS;
  #bytes = 0;
  /** `seq` of the oldest entry; of the next publication if empty. */
  #oldest: number;
  #next: number;

  /** `kept` holds the totals of all rooms; `next` is the `seq` of the first publication to come. */
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

  /** `seq` of the oldest entry; of the next publication if empty. */
  get oldest(): number {
    return this.#oldest;
  }

  /** When the latest entry was appended, by `nowMs()`. The history must not be empty. */
  get latestAt(): number {
    return this.#at(this.#next - 1).at;
  }

  /** Appends the room's next publication. `now` is from `nowMs()`. Amortised O(1). */
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
    // It exceeds the byte bound even in an empty history.
    if (bytes > historyBytes) this.#evictOldest('bytes');
  }

  /** Applies new bounds. `now` is from `nowMs()`. */
  rebound(policy: HistoryPolicy, now: number): void {
    this.#policy = policy;
    this.expire(now);
    while (this.length > policy.historyMessages) this.#evictOldest('count');
    while (this.#bytes > policy.historyBytes) this.#evictOldest('bytes');
  }

  /** Drops expired entries. `now` is from `nowMs()`. */
  expire(now: number): void {
    const before = now - this.#policy.historyMs;
    while (this.length > 0 && this.#at(this.#oldest).at <= before) this.#evictOldest('age');
  }

  /** Drops entries up to the publication `through`; by default all. */
  evict(why: Eviction, through = this.#next - 1): void {
    while (this.length > 0 && this.#oldest <= through) this.#evictOldest(why);
  }

  /** The kept publications of the range, within its limits. */
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

/** Cost on the heap, in bytes; `dataBytes` are bytes of UTF-8. */
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

/**
 * A string takes one byte a unit if all of it is Latin-1, else two. An ASCII string may be a slice of
 * its frame.
 */
function heapBytes(text: string, utf8: number): number {
  if (utf8 !== text.length) return Math.max(utf8, 2 * text.length);
  return utf8 < LEAST_CUT ? utf8 : utf8 + FRAME_BYTES;
}
