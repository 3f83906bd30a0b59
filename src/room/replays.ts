/**
 * Members on their way through what they have missed: each a cursor into shared pages, which is the
 * `sent` of its subscription, and at most one batch, at the pace of its own socket (V18). No buffer and
 * no lock: when a cursor has reached the end of its room, the member is live in that same synchronous
 * step, and a flush under way has nothing for it that it has had.
 *
 * The living go first: cursors get what a turn of the fan-out has left, in turn, at least one a turn.
 *
 * Not here: when a batch goes to a member (`outbox.ts`), what is read (`pages.ts`), what is told at the
 * join (`recovery.ts`).
 */
import type { LoopClock } from '../loop-clock.js';
import type { GapReason } from '../protocol/events.js';
import { nowMs } from '../time.js';
import type { Cursor } from './cursors.js';
import type { Batch } from './frame.js';
import type { Observer } from './observer.js';
import type { Pages } from './pages.js';
import type { Room } from './room.js';
import type { Subscription } from './subscription.js';
import type { Term } from './term.js';

interface ReplaysContext {
  readonly pages: Pages;
  readonly observer: Observer;
  readonly clock: LoopClock;
  readonly recoverMaxMs: number;
  /** Has `run` called soon. */
  wake(): void;
}

/** One member's way through one room. */
export interface Replay extends Cursor {
  readonly room: Room;
  /** Which it reads: nothing of it can be read any more when the room is in another. */
  term: Term;
  /** When it is given up, by the clock of the loop. */
  readonly deadline: number;
  /** Number from which on something may still be kept. */
  from: number;
}

export class Replays {
  readonly #context: ReplaysContext;
  readonly #all = new Set<Replay>();
  readonly #byRoom = new Map<Room, Set<Replay>>();
  /** Those that may go on, in turn. */
  readonly #ready = new Set<Replay>();

  constructor(context: ReplaysContext) {
    this.#context = context;
  }

  get size(): number {
    return this.#all.size;
  }

  get isReady(): boolean {
    return this.#ready.size > 0;
  }

  /** Somebody reads what was published to the room. */
  isReading(room: Room): boolean {
    return this.#byRoom.has(room);
  }

  /** The member gets what there is from its `sent` to the end of the room, and is live then. */
  begin(subscription: Subscription, room: Room): void {
    const { clock, recoverMaxMs } = this.#context;
    const { term } = room;
    const deadline = clock.now() + recoverMaxMs;
    const next = () => this.#next(replay);
    const replay: Replay = { subscription, room, term, deadline, from: 0, next };
    subscription.replay = replay;
    subscription.isLive = false;
    this.#all.add(replay);
    const inRoom = this.#byRoom.get(room);
    if (inRoom === undefined) this.#byRoom.set(room, new Set([replay]));
    else inRoom.add(replay);
    this.#goOn(replay);
  }

  /** Lets cursors go on until `deadline`, by `nowMs()`, at least one. */
  run(deadline: number): void {
    for (const replay of this.#ready) {
      this.#ready.delete(replay);
      if (this.#context.clock.now() >= replay.deadline) this.end(replay, 'overflow');
      else replay.subscription.outbox.replay(replay);
      if (nowMs() >= deadline) return;
    }
  }

  /** What the member is handed next, or null where that is nothing now. */
  #next(replay: Replay): Batch | null {
    const { subscription, room } = replay;
    if (subscription.replay !== replay) return null;
    const { observer, pages } = this.#context;
    const { term, last } = room;
    const { format, transport } = subscription.outbox;
    // As for somebody who came back without the right to it (V15).
    if (!subscription.member.identity.may('history', room.name)) {
      this.end(replay, 'expired');
      return null;
    }
    if (term !== replay.term) {
      const told = this.#tell(replay, term.start);
      replay.term = term;
      replay.from = 0;
      return told;
    }
    const next = term.seqOf(subscription.sent) + 1;
    const found = pages.find(room, Math.max(next, replay.from));
    if (found instanceof Promise) {
      found.then(
        (from) => this.#answered(replay, from),
        () => this.end(replay, 'broker'),
      );
      return null;
    }
    if (found === null) {
      this.end(replay, 'expired');
      return null;
    }
    if (found > next) return this.#tell(replay, term.localOf(found - 1));
    this.#goOn(replay);
    const { batch, to } = pages.cut(room, found, format, transport.framing);
    subscription.sent = term.localOf(to);
    observer.replayed('join', 'sent', to - found + 1);
    if (subscription.sent === last) this.end(replay, 'expired');
    return batch;
  }

  /**
   * The one place where a cursor ends: it has reached the end of its room, or is given up, and what is
   * missing is told as a gap of that reason. With `left` the member goes, or is no longer to get any.
   */
  end(replay: Replay, reason: GapReason): void {
    const { subscription, room } = replay;
    if (subscription.replay !== replay) return;
    subscription.replay = null;
    this.#all.delete(replay);
    this.#ready.delete(replay);
    const inRoom = this.#byRoom.get(room) as Set<Replay>;
    inRoom.delete(replay);
    if (inRoom.size === 0) this.#byRoom.delete(room);
    const missing = Math.min(room.last, replay.term.end) - subscription.sent;
    const result = reason === 'expired' ? 'expired' : 'abandoned';
    if (missing > 0) this.#context.observer.replayed('join', result, missing);
    if (reason === 'left') return;
    // A flush under way asks `offered`: what the cursor has given is not given again.
    subscription.isLive = true;
    subscription.offered = room.last;
    if (subscription.sent < room.last) subscription.outbox.miss(subscription, room.last, reason);
  }

  /** Goes on to `to`, since what lies before is no longer kept, and says so. */
  #tell(replay: Replay, to: number): Batch {
    const { subscription, room } = replay;
    const { outbox, sent } = subscription;
    this.#context.observer.replayed('join', 'expired', Math.min(to, replay.term.end) - sent);
    const batch = outbox.announcement(subscription.skip(to, 'expired'));
    if (to === room.last) this.end(replay, 'expired');
    else this.#goOn(replay);
    return batch;
  }

  #answered(replay: Replay, from: number | null): void {
    // It may have ended meanwhile.
    if (replay.subscription.replay !== replay) return;
    if (from === null) {
      this.end(replay, 'expired');
      return;
    }
    replay.from = from;
    this.#goOn(replay);
  }

  #goOn(replay: Replay): void {
    this.#ready.add(replay);
    this.#context.wake();
  }
}
