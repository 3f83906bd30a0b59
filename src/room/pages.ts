/**
 * What was published to rooms and is read again, shared by all who read it: encoded once a format and
 * joined once a kind of member (V6), so that a thousand members that come back cost one (V3, V18).
 *
 * Blocks of `BLOCK` numbers, filled as they are asked for and let go of `KEPT_MS` after they were begun,
 * however often they are read: what a room keeps no longer is not given for much longer, either. The
 * bound of all together is `CACHE_BYTES`. Where the broker answers later, what is delivered while
 * somebody reads is put in too, so that a reader can catch up with a room that goes on.
 *
 * Not here: who reads, and when (`replays.ts`).
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
/** What a publication costs beside its data. */
const OVERHEAD_BYTES = 200;

/** Where in a room's history something is read. */
export interface Place {
  readonly name: string;
  readonly term: Term;
  /** Of the latest publication. */
  readonly seq: number;
}

/** Some publications in one write. */
export interface Cut {
  readonly batch: Batch;
  /** Of the last in it. */
  readonly to: number;
}

/** The publications of up to `BLOCK` numbers, as far as they were asked for. */
class Block {
  readonly begunAt = nowMs();
  bytes = 0;
  readonly #publications: (Publication | undefined)[] = [];
  /** By format. */
  readonly #frames: Buffer[][] = [];
  /** By kind of member, then by the first number in it. */
  readonly #cuts: Map<number, Cut>[] = [];

  constructor(readonly first: number) {}

  has(seq: number): boolean {
    return this.#publications[seq - this.first] !== undefined;
  }

  /** From `seq` on, which it has, up to so many, and so many bytes of them. */
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

  /** From `seq` on, which it has, as much as a batch may have. */
  cut(seq: number, format: Format, framing: Framing): Cut {
    const kind = format.kindOf(framing);
    this.#cuts[kind] ??= new Map();
    const made = this.#cuts[kind].get(seq);
    // What came behind it meanwhile is the next.
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
  /** By epoch and place in it; the longest unused first. */
  readonly #blocks = new Map<string, Block>();
  /** Reads under way, by what is read: equal ones are one. */
  readonly #reads = new Map<string, Promise<number | null>>();
  #bytes = 0;
  #sweep: NodeJS.Timeout | undefined;
  /** The broker answers later. */
  #isLate = false;

  constructor(calls: BrokerCalls) {
    this.#calls = calls;
  }

  /** Bytes of all blocks. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A publication was delivered to a room in which somebody reads. */
  delivered(publication: Publication): void {
    if (!this.#isLate) return;
    this.#add(publication);
    this.#trim();
  }

  /**
   * The number of the first publication from `seq` on that there is, or null when there is none up to
   * where the room is. Where that has to be waited for, the promise says from where to ask again, or
   * null.
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

  /** What follows from `seq` on, which was found. */
  cut(place: Place, seq: number, format: Format, framing: Framing): Cut {
    const block = this.#block(place.name, place.term.epoch, seq) as Block;
    const before = block.bytes;
    const cut = block.cut(seq, format, framing);
    this.#bytes += block.bytes - before;
    this.#trim();
    return cut;
  }

  /** The publications that follow from `seq` on, which was found: one or more, as a batch may have. */
  read(place: Place, seq: number, maxMessages: number): readonly Publication[] {
    const block = this.#block(place.name, place.term.epoch, seq) as Block;
    return block.read(seq, maxMessages, BATCH_BYTES);
  }

  /** Lets go of everything of the room: some of it is kept no longer. */
  forget(room: string): void {
    const prefix = prefixOf(room);
    for (const [key, block] of this.#blocks) if (key.startsWith(prefix)) this.#drop(key, block);
  }

  close(): void {
    clearTimeout(this.#sweep);
    this.#blocks.clear();
    this.#bytes = 0;
  }

  /** Asks the broker, and says from where on there is something. */
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
   * Keeps what the broker has answered; says from where on there is something behind `from`, or null.
   * What it was not asked for is not taken, wherever it says that belongs.
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
      this.#sweep ??= setTimeout(() => this.#letGo(), KEPT_MS).unref();
    }
    const before = block.bytes;
    block.add(publication);
    this.#bytes += block.bytes - before;
  }

  /** The block in which that number is or would be; it is the latest used now. */
  #block(room: string, epoch: string, seq: number): Block | undefined {
    const key = keyOf(room, epoch, seq - (seq % BLOCK));
    const block = this.#blocks.get(key);
    if (block === undefined) return undefined;
    this.#blocks.delete(key);
    this.#blocks.set(key, block);
    return block;
  }

  /** The longest unused go until the others fit; the latest stays, whatever it has. */
  #trim(): void {
    for (const [key, block] of this.#blocks) {
      if (this.#bytes <= CACHE_BYTES || this.#blocks.size === 1) return;
      this.#drop(key, block);
    }
  }

  #letGo(): void {
    const before = nowMs() - KEPT_MS;
    for (const [key, block] of this.#blocks) if (block.begunAt <= before) this.#drop(key, block);
    this.#sweep =
      this.#blocks.size === 0 ? undefined : setTimeout(() => this.#letGo(), KEPT_MS / 5).unref();
  }

  #drop(key: string, block: Block): void {
    this.#blocks.delete(key);
    this.#bytes -= block.bytes;
  }
}

/** No other room's keys begin so. */
const prefixOf = (room: string) => `${room.length}:${room}`;

const keyOf = (room: string, epoch: string, seq: number) => `${prefixOf(room)}${epoch} ${seq}`;
