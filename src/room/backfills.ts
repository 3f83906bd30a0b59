/**
 * Members' `history` requests. Each is a cursor into the same pages that replays read, with at most one
 * page in flight, at the pace of the member's socket and only when nothing else waits for it (V18). One
 * request per member runs at a time.
 *
 * V3: `WAITING` more may queue behind it, and one request returns at most `maxHistoryMessages`. V15: the
 * member's right to read is checked before each page. V6 does not apply: a page contains the id of its
 * request, so it is encoded for that request alone.
 *
 * Not here: when a page goes to the member (`outbox.ts`), reading (`pages.ts`).
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

/** Requests one member may have waiting behind the running one. */
const WAITING = 7;

/** Messages asked for: a range, of `epoch` if given; or `last` many before a number, or the latest. */
export type HistoryRequest =
  | { readonly from: number; readonly to: number; readonly epoch?: string | undefined }
  | { readonly last: number; readonly before?: number | undefined };

interface BackfillsContext {
  readonly pages: Pages;
  readonly observer: Observer;
  readonly config: { readonly maxHistoryMessages: number };
  /** Schedules a call of `run`. */
  wake(): void;
}

interface Backfill extends Cursor {
  readonly id: CommandId | undefined;
  readonly room: Room;
  /** The room and term to read, with the last number of the range. */
  readonly place: Place;
  readonly from: number;
  readonly to: number;
  /** Maximum messages it may return. */
  readonly limit: number;
  /** Next sequence number. */
  at: number;
  /** Nothing before this number is kept, as the broker has answered. */
  keptFrom: number;
  count: number;
  readonly missing: [from: number, to: number][];
  readonly settle: { resolve(): void; reject(error: unknown): void };
}

export class Backfills {
  readonly #context: BackfillsContext;
  /** Requests by member; the first of each is the running one. */
  readonly #byMember = new Map<Member, Backfill[]>();
  /** Requests ready to continue, in turn. */
  readonly #ready = new Set<Backfill>();

  constructor(context: BackfillsContext) {
    this.#context = context;
  }

  /** Members with a request. */
  get size(): number {
    return this.#byMember.size;
  }

  get isReady(): boolean {
    return this.#ready.size > 0;
  }

  /**
   * Starts a request. Settles when all pages and the reply are handed over, or when the member is gone.
   *
   * @throws Refusal `history_busy`. It may also reject with `not_joined`, `not_allowed`,
   * `broker_unavailable` or `shutting_down`.
   */
  begin(
    subscription: Subscription,
    room: Room,
    id: CommandId | undefined,
    wanted: HistoryRequest,
  ): Promise<void> {
    const all = this.#byMember.get(subscription.member) ?? [];
    if (all.length > WAITING) {
      throw new Refusal(
        'history_busy',
        `${all.length} history requests are pending; wait until one is done.`,
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
        // How many messages the other epoch had is unknown, so the whole range is reported missing.
        request.missing.push([from, to]);
        request.at = to + 1;
      }
      all.push(request);
      if (all.length === 1) this.#goOn(request);
    });
  }

  /** Continues requests until `deadline`, by `nowMs()`; at least one. */
  run(deadline: number): void {
    for (const request of this.#ready) {
      this.#ready.delete(request);
      request.subscription.outbox.backfill(request);
      if (nowMs() >= deadline) return;
    }
  }

  /** The member has left the room: rejects its requests for it. */
  left({ member, room }: Subscription): void {
    for (const request of this.#byMember.get(member) ?? []) {
      if (request.room.name !== room) continue;
      this.#end(request);
      request.settle.reject(new Refusal('not_joined', `You have left ${room}.`));
    }
  }

  /** Ends a member's requests without a reply: it is gone, or was told that the server shuts down. */
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
    // Nothing can be read of an epoch that has ended.
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
    // The encoded size is only known afterwards.
    while (bytes.length > BATCH_BYTES && count > 1) ({ bytes, count } = page(count >> 1));
    request.at = found + count;
    request.count += count;
    observer.replayed('request', 'sent', count);
    this.#goOn(request);
    return outbox.batch([bytes], bytes.length, count);
  }

  /** Ends the request and returns its reply. */
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

  /** Marks everything from `at` to `to` as no longer kept. */
  #miss(request: Backfill, to: number): void {
    const { at, missing } = request;
    if (at > to) return;
    const last = missing.at(-1);
    if (last?.[1] === at - 1) last[1] = to;
    else missing.push([at, to]);
    this.#context.observer.replayed('request', 'expired', to - at + 1);
    request.at = to + 1;
  }

  /** Removes the request and starts the member's next one. */
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

/** The range in numbers of the current room; `to` is `from` - 1 if it is empty. */
function rangeOf(wanted: HistoryRequest, room: Room, limit: number): { from: number; to: number } {
  if ('last' in wanted) {
    const to = Math.min(room.seq, (wanted.before ?? Number.POSITIVE_INFINITY) - 1);
    return { from: Math.max(1, to - Math.min(wanted.last, limit) + 1), to };
  }
  const { from, epoch = room.epoch } = wanted;
  // The last number of another epoch is unknown.
  const to = epoch === room.epoch ? Math.min(wanted.to, room.seq) : wanted.to;
  return { from, to: Math.max(to, from - 1) };
}
