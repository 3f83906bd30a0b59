/**
 * Requests of members for what was published to a room they are in: each a cursor into the pages that
 * those who come back read too, and at most one page on its way, at the pace of the member's own socket
 * and only when there is nothing else for it (V18). One of a member goes on at a time.
 *
 * V3: `WAITING` may wait behind that, and one gives no more than `maxHistoryMessages`. V15: whether the
 * member may read is asked before each page. V6: a page has the id of its request in it, and is made
 * for that alone.
 *
 * Not here: when a page goes to a member (`outbox.ts`), what is read (`pages.ts`).
 */
import { Refusal } from '../errors.js';
import type { CommandId } from '../protocol/fields.js';
import { nowMs } from '../time.js';
import type { Cursor } from './cursors.js';
import type { Batch } from './frame.js';
import type { Member } from './member.js';
import type { Observer } from './observer.js';
import { BATCH_BYTES } from './outbox.js';
import type { Pages, Place } from './pages.js';
import type { Room } from './room.js';
import type { Subscription } from './subscription.js';

/** Requests of one member behind the one that goes on. */
const WAITING = 7;

/** Which messages: those numbers, of that epoch where it is said; or so many before a number, or the latest. */
export type Wanted =
  | { readonly from: number; readonly to: number; readonly epoch?: string | undefined }
  | { readonly last: number; readonly before?: number | undefined };

interface BackfillsContext {
  readonly pages: Pages;
  readonly observer: Observer;
  readonly config: { readonly maxHistoryMessages: number };
  /** Has `run` called soon. */
  wake(): void;
}

interface Backfill extends Cursor {
  readonly id: CommandId | undefined;
  readonly room: Room;
  /** What is read, with the last number of it. */
  readonly place: Place;
  readonly from: number;
  readonly to: number;
  /** Messages it may give. */
  readonly limit: number;
  /** Number that is next. */
  at: number;
  /** From here on something may be kept, as the broker has said. */
  keptFrom: number;
  count: number;
  readonly missing: [from: number, to: number][];
  readonly settle: { resolve(): void; reject(error: unknown): void };
}

export class Backfills {
  readonly #context: BackfillsContext;
  /** The first of each goes on. */
  readonly #byMember = new Map<Member, Backfill[]>();
  /** Those that may go on, in turn. */
  readonly #ready = new Set<Backfill>();

  constructor(context: BackfillsContext) {
    this.#context = context;
  }

  /** Members that have one. */
  get size(): number {
    return this.#byMember.size;
  }

  get isReady(): boolean {
    return this.#ready.size > 0;
  }

  /**
   * Settles when the member has been handed all of it and the answer, or is gone.
   * @throws Refusal `history_busy`; as a rejection `not_joined`, `not_allowed`, `broker_unavailable`,
   *   `shutting_down`
   */
  begin(
    subscription: Subscription,
    room: Room,
    id: CommandId | undefined,
    wanted: Wanted,
  ): Promise<void> {
    const all = this.#byMember.get(subscription.member) ?? [];
    if (all.length > WAITING) {
      throw new Refusal(
        'history_busy',
        `${all.length} requests for history are under way; wait for one of them.`,
      );
    }
    this.#byMember.set(subscription.member, all);
    const { maxHistoryMessages: limit } = this.#context.config;
    const { from, to } = rangeOf(wanted, room, limit);
    const { name, term } = room;
    return new Promise((resolve, reject) => {
      const request: Backfill = {
        subscription,
        room,
        id,
        place: { name, term, seq: to },
        from,
        to,
        limit,
        at: from,
        keptFrom: from,
        count: 0,
        missing: [],
        settle: { resolve, reject },
        next: () => this.#next(request),
      };
      if ('epoch' in wanted && wanted.epoch !== undefined && wanted.epoch !== room.epoch) {
        // How many of them there ever were is not known.
        request.missing.push([from, to]);
        request.at = to + 1;
      }
      all.push(request);
      if (all.length === 1) this.#goOn(request);
    });
  }

  /** Lets requests go on until `deadline`, by `nowMs()`, at least one. */
  run(deadline: number): void {
    for (const request of this.#ready) {
      this.#ready.delete(request);
      request.subscription.outbox.backfill(request);
      if (nowMs() >= deadline) return;
    }
  }

  /** The member is in that room no longer. */
  left({ member, room }: Subscription): void {
    for (const request of this.#byMember.get(member) ?? []) {
      if (request.room.name !== room) continue;
      this.#end(request);
      request.settle.reject(new Refusal('not_joined', `You have left ${room}.`));
    }
  }

  /** Ends all of a member's without a word: it is gone, or is told that the server goes. */
  stop(member: Member): void {
    const all = this.#byMember.get(member) ?? [];
    this.#byMember.delete(member);
    for (const request of all) {
      this.#ready.delete(request);
      request.settle.resolve();
    }
  }

  #next(request: Backfill): Batch | null {
    const { subscription, room, place, to, limit } = request;
    const { outbox, member } = subscription;
    if (this.#byMember.get(member)?.[0] !== request) return null;
    if (!member.identity.may('history', room.name)) {
      return this.#refuse(request, mayNotRead(room.name));
    }
    // Nothing can be read of an epoch that is over.
    if (room.term !== place.term) this.#miss(request, to);
    if (request.at > to || request.count >= limit) return this.#answer(request);
    const { pages, observer } = this.#context;
    const found = pages.find(place, Math.max(request.at, request.keptFrom));
    if (found instanceof Promise) {
      found.then(
        (from) => this.#answered(request, from),
        (error: unknown) => this.#refuse(request, error),
      );
      return null;
    }
    if (found === null) {
      this.#miss(request, to);
      return this.#answer(request);
    }
    this.#miss(request, found - 1);
    const { id } = request;
    const { name, term } = place;
    const page = (messages: number) => {
      const read = pages.read(place, found, messages);
      const past = { id, room: name, epoch: term.epoch, messages: read };
      return { bytes: outbox.format.encodePast(past), count: read.length };
    };
    let { bytes, count } = page(Math.min(limit - request.count, to - found + 1));
    // What an encoding makes of a text is only known afterwards.
    while (bytes.length > BATCH_BYTES && count > 1) ({ bytes, count } = page(count >> 1));
    request.at = found + count;
    request.count += count;
    observer.replayed('request', 'sent', count);
    this.#goOn(request);
    return outbox.batch([bytes], bytes.length, count);
  }

  /** The last of it. */
  #answer(request: Backfill): Batch {
    const { subscription, id, place, from, to, at, count, missing } = request;
    this.#end(request);
    request.settle.resolve();
    return subscription.outbox.announcement([
      {
        type: 'history',
        id,
        room: place.name,
        epoch: place.term.epoch,
        from,
        to,
        count,
        missing,
        next: at <= to ? at : undefined,
      },
    ]);
  }

  #refuse(request: Backfill, error: unknown): null {
    this.#end(request);
    request.settle.reject(error);
    return null;
  }

  #answered(request: Backfill, from: number | null): void {
    if (this.#byMember.get(request.subscription.member)?.[0] !== request) return;
    request.keptFrom = from ?? Number.POSITIVE_INFINITY;
    this.#goOn(request);
  }

  /** What is not had up to `to` is not there any more. */
  #miss(request: Backfill, to: number): void {
    const { at, missing } = request;
    if (at > to) return;
    const last = missing.at(-1);
    if (last?.[1] === at - 1) last[1] = to;
    else missing.push([at, to]);
    this.#context.observer.replayed('request', 'expired', to - at + 1);
    request.at = to + 1;
  }

  /** Takes it away, and has the next one of the member go on. */
  #end(request: Backfill): void {
    const { member } = request.subscription;
    const all = this.#byMember.get(member);
    const index = all?.indexOf(request) ?? -1;
    if (all === undefined || index < 0) return;
    this.#ready.delete(request);
    const rest = all.toSpliced(index, 1);
    const [next] = rest;
    if (next === undefined) this.#byMember.delete(member);
    else this.#byMember.set(member, rest);
    if (index === 0 && next !== undefined) this.#goOn(next);
  }

  #goOn(request: Backfill): void {
    this.#ready.add(request);
    this.#context.wake();
  }
}

export const mayNotRead = (room: string) =>
  new Refusal('not_allowed', `You may not read the history of ${room}.`);

/** As numbers of the room as it is now; `to` is `from` - 1 where there are none. */
function rangeOf(wanted: Wanted, room: Room, limit: number): { from: number; to: number } {
  if ('last' in wanted) {
    const to = Math.min(room.seq, (wanted.before ?? Number.POSITIVE_INFINITY) - 1);
    return { from: Math.max(1, to - Math.min(wanted.last, limit) + 1), to };
  }
  const { from, epoch = room.epoch } = wanted;
  // How far another epoch went is not known.
  const to = epoch === room.epoch ? Math.min(wanted.to, room.seq) : wanted.to;
  return { from, to: Math.max(to, from - 1) };
}
