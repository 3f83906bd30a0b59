/**
 * Cache of past publications, shared by all readers: encoded once per format and joined once per kind of
 * member (V6), so that a thousand members resuming together cost one read (V3, V18).
 *
 * Blocks of `BLOCK` numbers are filled on demand and dropped `KEPT_MS` after they were created, however
 * often they are read, so that messages a room no longer keeps are not served for much longer. All
 * blocks together hold at most `CACHE_BYTES`. Where the broker answers asynchronously, publications
 * delivered while a member reads are added too, so that a reader can catch up with a busy room.
 *
 * Not here: which members read, and when (`replays.ts`, `backfills.ts`).
 */
import type { MaybePromise, Past, Publication } from '../broker/broker.js';
import type { BrokerCalls } from '../broker/calls.js';
import { clearTimeout, nowMs, setTimeout } from '../time.js';
import type { Framing } from '../transport/transport.js';
import type { Format } from './format.js';
import { Batch } from './frame.js';
import { BATCH_BYTES } from './outbox.js';
import type { Term } from './term.js';

const BLOCK = 32;
const KEPT_MS = 5000;
const CACHE_BYTES = 16 * 1024 * 1024;
/** Estimated cost of a publication besides its data. */
const OVERHEAD_BYTES = 200;

/** The part of a room's history that is read. */
export interface Place {
  readonly name: string;
  readonly term: Term;
  /** Sequence number of the latest publication. */
  readonly seq: number;
}

/** Consecutive publications joined for one write. */
export interface Cut {
  readonly batch: Batch;
  /** Sequence number of the last one. */
  readonly to: number;
}

/** The publications of up to `BLOCK` numbers, as far as they were read. */
class Block {
  readonly begunAt = nowMs();
  bytes = 0;
  readonly #publications: (Publication | undefined)[] = [];
  /** By format index. */
  readonly #frames: Buffer[][] = [];
  /** By kind of member, then by first sequence number. */
  readonly #cuts: Map<number, Cut>[] = [];

  constructor(readonly first: number) {}

  has(seq: number): boolean {
    return this.#publications[seq - this.first] !== undefined;
  }

  /** Publications from `seq`, which it holds: at least one, at most `maxMessages` and `maxBytes`. */
  read(seq: number, maxMessages: number, maxBytes: number): Publication[] {
    const read: Publication[] = [];
    let bytes = 0;
    for (let next = seq; this.has(next) && read.length < maxMessages; next += 1) {
      const publication = this.#publications[next - this.first] as Publication;
      bytes += Buffer.byteLength(publication.data);
      if (read.length > 0 && bytes > maxBytes) break;
      read.push(publication);
    }
    return read;
  }

  add(publication: Publication): void {
    if (this.has(publication.seq)) return;
    this.#publications[publication.seq - this.first] = publication;
    this.bytes += Buffer.byteLength(publication.data) + OVERHEAD_BYTES;
  }

  /** One batch of publications from `seq`, which it holds. */
  cut(seq: number, format: Format, framing: Framing): Cut {
    const kind = format.kindOf(framing);
    this.#cuts[kind] ??= new Map();
    const made = this.#cuts[kind].get(seq);
    // Publications added since it was made belong to the next batch.
    if (made !== undefined) return made;
    const frames: Buffer[] = [];
    let bytes = 0;
    for (let next = seq; this.has(next); next += 1) {
      const frame = this.#frame(next, format);
      if (frames.length > 0 && bytes + frame.length > BATCH_BYTES) break;
      frames.push(frame);
      bytes += frame.length;
    }
    const batch = new Batch([], 0, framing.join(frames, bytes), frames.length);
    const cut = { batch, to: seq + frames.length - 1 };
    this.#cuts[kind].set(seq, cut);
    this.bytes += batch.bytes.length;
    return cut;
  }

  #frame(seq: number, format: Format): Buffer {
    this.#frames[format.index] ??= [];
    const frames = this.#frames[format.index] as Buffer[];
    const index = seq - this.first;
    let frame = frames[index];
    if (frame === undefined) {
      frame = format.encodeMessage(this.#publications[index] as Publication);
      frames[index] = frame;
      this.bytes += frame.length;
    }
    return frame;
  }
}

export class Pages {
  readonly #calls: BrokerCalls;
  /** Blocks by room, epoch and first number; least recently used first. */
  readonly #blocks = new Map<string, Block>();
  /** Pending broker reads by start; equal reads share one. */
  readonly #reads = new Map<string, Promise<number | null>>();
  #bytes = 0;
  #sweep: NodeJS.Timeout | undefined;
  /** The broker answers asynchronously. */
  #isLate = false;

  constructor(calls: BrokerCalls) {
    this.#calls = calls;
  }

  /** Bytes of all blocks. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A publication was delivered to a room that is being read. */
  delivered(publication: Publication): void {
    if (!this.#isLate) return;
    this.#add(publication);
    this.#trim();
  }

  /**
   * The number of the first publication kept from `seq` on, or null if there is none up to `place.seq`.
   * If the broker has to be asked, a promise of the number from which to call again, or null.
   */
  find(place: Place, seq: number): MaybePromise<number | null> {
    let next: number | null = seq;
    while (next !== null && next <= place.seq) {
      if (this.#block(place.name, place.term.epoch, next)?.has(next)) return next;
      const answer = this.#read(place, next);
      if (answer instanceof Promise) return answer;
      next = answer;
    }
    return null;
  }

  /** One batch from `seq`, which `find` has returned. */
  cut(place: Place, seq: number, format: Format, framing: Framing): Cut {
    const block = this.#block(place.name, place.term.epoch, seq) as Block;
    const before = block.bytes;
    const cut = block.cut(seq, format, framing);
    this.#bytes += block.bytes - before;
    this.#trim();
    return cut;
  }

  /** Publications from `seq`, which `find` has returned: at least one, at most a batch. */
  read(place: Place, seq: number, maxMessages: number): readonly Publication[] {
    const block = this.#block(place.name, place.term.epoch, seq) as Block;
    return block.read(seq, maxMessages, BATCH_BYTES);
  }

  /** Drops all blocks of a room whose history was purged. */
  forget(room: string): void {
    const prefix = prefixOf(room);
    for (const [key, block] of this.#blocks) if (key.startsWith(prefix)) this.#drop(key, block);
  }

  close(): void {
    clearTimeout(this.#sweep);
    this.#blocks.clear();
    this.#bytes = 0;
  }

  /** Reads from the broker. Returns the first number kept from `from` on, or null. */
  #read(place: Place, from: number): MaybePromise<number | null> {
    const { name, term, seq } = place;
    const key = keyOf(name, term.epoch, from);
    const underWay = this.#reads.get(key);
    if (underWay !== undefined) return underWay;
    const to = Math.min(from + BLOCK - 1 - (from % BLOCK), seq);
    const range = { from, to, maxMessages: BLOCK, maxBytes: BATCH_BYTES };
    let past: MaybePromise<Past>;
    try {
      past = this.#calls.history(name, range);
      if (!(past instanceof Promise)) return this.#take(past, place, from);
    } catch (error) {
      return Promise.reject(this.#calls.refusal(error));
    }
    this.#isLate = true;
    const read = past
      .then((answer) => this.#take(answer, place, from))
      .catch((error: unknown) => Promise.reject(this.#calls.refusal(error)))
      .finally(() => this.#reads.delete(key));
    this.#reads.set(key, read);
    return read;
  }

  /**
   * Caches the broker's answer. Returns the first number kept from `from` on, or null. Ignores
   * publications that were not asked for.
   */
  #take(past: Past, { name, term }: Place, from: number): number | null {
    const { epoch } = term;
    if (past.epoch !== epoch) return null;
    let first = Number.POSITIVE_INFINITY;
    for (const publication of past.publications) {
      const { room, epoch: its, seq } = publication;
      if (room !== name || its !== epoch || !Number.isSafeInteger(seq) || seq < from) continue;
      this.#add(publication);
      first = Math.min(first, seq);
    }
    this.#trim();
    if (first < Number.POSITIVE_INFINITY) return first;
    return past.oldest > from ? past.oldest : null;
  }

  #add(publication: Publication): void {
    const { room, epoch, seq } = publication;
    let block = this.#block(room, epoch, seq);
    if (block === undefined) {
      block = new Block(seq - (seq % BLOCK));
      this.#blocks.set(keyOf(room, epoch, block.first), block);
      this.#sweep ??= setTimeout(() => this.#expire(), KEPT_MS).unref();
    }
    const before = block.bytes;
    block.add(publication);
    this.#bytes += block.bytes - before;
  }

  /** The block that holds or would hold the number; marks it as most recently used. */
  #block(room: string, epoch: string, seq: number): Block | undefined {
    const key = keyOf(room, epoch, seq - (seq % BLOCK));
    const block = this.#blocks.get(key);
    if (block === undefined) return undefined;
    this.#blocks.delete(key);
    this.#blocks.set(key, block);
    return block;
  }

  /** Drops the least recently used blocks until the rest fits; the latest always stays. */
  #trim(): void {
    for (const [key, block] of this.#blocks) {
      if (this.#bytes <= CACHE_BYTES || this.#blocks.size === 1) return;
      this.#drop(key, block);
    }
  }

  #expire(): void {
    const before = nowMs() - KEPT_MS;
    for (const [key, block] of this.#blocks) if (block.begunAt <= before) this.#drop(key, block);
    this.#sweep =
      this.#blocks.size === 0 ? undefined : setTimeout(() => this.#expire(), KEPT_MS / 5).unref();
  }

  #drop(key: string, block: Block): void {
    this.#blocks.delete(key);
    this.#bytes -= block.bytes;
  }
}

/** A prefix that keys of no other room have. */
const prefixOf = (room: string) => `${room.length}:${room}`;

const keyOf = (room: string, epoch: string, seq: number) => `${prefixOf(room)}${epoch} ${seq}`;
