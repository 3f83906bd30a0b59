/**
 * Members that are sent the messages they missed before a join. Each has a cursor into shared pages,
 * which is the `sent` of its subscription, and at most one batch in flight, at the pace of its socket
 * (V18). No buffer and no lock: in the step in which a cursor reaches the end of its room, the member
 * goes live, and a flush in progress skips what the cursor has sent.
 *
 * Live messages go first: cursors use the time a fan-out run has left, in turn, at least one per run.
 *
 * Not here: when a batch goes to the member (`outbox.ts`), reading (`pages.ts`), the reply to the join
 * (`recovery.ts`).
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
  /** Schedules a call of `run`. */
  wake(): void;
}

/** The replay of one room to one member. */
export interface Replay extends Cursor {
  readonly room: Room;
  /** The term being read. It becomes unreadable when the room starts another. */
  term: Term;
  /** When the replay is abandoned, in loop clock milliseconds. */
  readonly deadline: number;
  /** Nothing before this number is kept, as the broker has answered. */
  from: number;
}

export class Replays {
  readonly #context: ReplaysContext;
  readonly #all = new Set<Replay>();
  readonly #byRoom = new Map<Room, Set<Replay>>();
  /** Replays ready to continue, in turn. */
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

  /** Whether a replay of the room is in progress. */
  isReading(room: Room): boolean {
    return this.#byRoom.has(room);
  }

  /**
   * Starts a replay from the subscription's `sent` to the end of the room, where the member goes live.
   */
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

  /** Continues replays until `deadline`, by `nowMs()`; at least one. */
  run(deadline: number): void {
    for (const replay of this.#ready) {
      this.#ready.delete(replay);
      if (this.#context.clock.now() >= replay.deadline) this.end(replay, 'overflow');
      else replay.subscription.outbox.replay(replay);
      if (nowMs() >= deadline) return;
    }
  }

  /** The next batch for the member, or null if there is none now. */
  #next(replay: Replay): Batch | null {
    const { subscription, room } = replay;
    if (subscription.replay !== replay) return null;
    const { observer, pages } = this.#context;
    const { term, last } = room;
    const { format, transport } = subscription.outbox;
    // A member that lost the `history` right is treated like one that resumed without it (V15).
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
   * The only place where a replay ends, at the end of the room or early. A gap with `reason` announces
   * what is missing, unless it is `left`: then the member leaves or may not get any more.
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
    // A flush in progress checks `offered`, so it does not repeat what the cursor has sent.
    subscription.isLive = true;
    subscription.offered = room.last;
    if (subscription.sent < room.last) subscription.outbox.miss(subscription, room.last, reason);
  }

  /** Skips to `to`, since the messages before are no longer kept, and announces the gap. */
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
    // The replay may have ended in the meantime.
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
