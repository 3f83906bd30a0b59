/**
 * What a node has of one room, and the way back to having all of it. Pure: it reads nothing itself.
 *
 * V4, V20: within an epoch commits are passed on in order, each once; what was seen before is dropped
 * and counted. V21: after a hole, another epoch or a lost connection everything is held back until what
 * lies between has been read; what is no longer there is told, exactly, by `lost`, and where an epoch
 * has ended by `reset`. V3: held back are at most `MAX_HELD_BYTES`; past that all of it is forgotten
 * and read again.
 *
 * Not here: what reads, and when (`subscriptions.ts`).
 */
import { ownText } from '../../own-text.js';
import type { Position, Publication } from '../broker.js';
import { type Commit, publicationsOf } from './format.js';

const MAX_HELD_BYTES = 1024 * 1024;

export interface TopicEvents {
  deliver(publication: Publication): void;
  reset(room: string, position: Position, was: Position): void;
  /** `messages` of them were not passed on. */
  lost(room: string, to: number, messages: number): void;
  /** Commits that were delivered before. */
  duplicate(): void;
  /** A number of publications that were read from the log instead of delivered. */
  backfilled(messages: number): void;
}

/** What Redis says of a room. */
export interface State extends Position {
  /** The ends of the epochs before, the latest first. */
  readonly closed: readonly Position[];
}

/** What it has of it behind a number, in order. */
export interface Log extends State {
  readonly commits: readonly Commit[];
  /** There is more than was asked for. */
  readonly hasMore: boolean;
}

export class Topic {
  /** Somebody here is in the room; else it is about to be let go of, and passes on nothing. */
  isWanted = true;
  /** Of what was passed on last, or null before anything is known. */
  #known: Position | null;
  /** What came while not all before it was there; null while there is nothing to wait for. */
  #held: Commit[] | null = [];
  #heldBytes = 0;
  /** More was held back than may be. */
  #hasForgotten = false;

  /** `since`: a node has everything up to there. */
  constructor(
    readonly room: string,
    private readonly events: TopicEvents,
    since?: Position,
  ) {
    this.#known = since ?? null;
  }

  get known(): Position | null {
    return this.#known;
  }

  /** Everything up to `known` was passed on, and the next commit can be. */
  get isLive(): boolean {
    return this.#held === null;
  }

  /** Holds back what comes: the connection is gone, or it is not known where the room stands. */
  suspend(): void {
    this.#held ??= [];
  }

  /** Forgets what it knew: it is wanted anew, and begins where Redis says it stands. */
  restart(): void {
    this.#known = null;
    this.#held = [];
    this.#heldBytes = 0;
  }

  /** The room stands here: passes on what came later. Says whether something has to be read first. */
  opened({ seq, epoch }: Position): boolean {
    this.#known ??= { seq, epoch };
    return this.#release();
  }

  /** Nothing has happened since `known`. Says whether something has to be read first. */
  unchanged(): boolean {
    return this.#release();
  }

  /** A delivery. Says whether something has to be read before it can be passed on. */
  receive(commit: Commit): boolean {
    if (this.#held !== null) {
      this.#hold(commit);
      return false;
    }
    if (this.#apply(commit)) return false;
    this.#held = [];
    this.#hold(commit);
    return true;
  }

  /** Whether something is missing here of what Redis says there is. */
  isBehind({ epoch, seq }: Position): boolean {
    const known = this.#known;
    return known !== null && (known.epoch !== epoch || known.seq < seq);
  }

  /**
   * Passes on what was read behind `known` and what was held back since, and tells of what is missing.
   * Says whether something has to be read again.
   */
  catchUp(log: Log): boolean {
    const held = this.#held ?? [];
    const epochs = [...log.closed].reverse().map(({ epoch, seq }) => ({ epoch, end: seq }));
    epochs.push({ epoch: log.epoch, end: log.seq });
    const current = epochs.length - 1;
    const place = ({ epoch }: { epoch: string }) => epochs.findIndex((one) => one.epoch === epoch);
    const at = place(this.#known as Position);
    if (at < 0) {
      // Nothing is known of what came between the two epochs.
      this.#reset({ epoch: log.epoch, seq: log.closed[0]?.seq ?? 0 });
      return true;
    }
    if (at < current && (this.#known as Position).seq > (epochs[at] as { end: number }).end) {
      // More was seen than has survived: the next epoch counts from further back than was read.
      this.#goTo(at + 1, epochs, place);
      return true;
    }
    // What the log no longer has, a delivery may have brought.
    const brought = held.filter((one) => place(one) < current || one.last <= log.seq);
    const fromLog = new Set(log.commits);
    const all = log.hasMore ? [...log.commits] : [...log.commits, ...brought];
    all.sort((a, b) => place(a) - place(b) || a.first - b.first);
    for (const commit of all) {
      if (place(commit) < place(this.#known as Position)) continue;
      this.#goTo(place(commit), epochs, place);
      if (this.#isSeen(commit)) continue;
      this.#lost(commit.first - 1);
      this.#pass(commit);
      if (fromLog.has(commit)) this.events.backfilled(commit.last - commit.first + 1);
    }
    if (log.hasMore) return true;
    this.#goTo(current, epochs, place);
    this.#lost(log.seq);
    if (this.#hasForgotten) {
      this.#hasForgotten = false;
      return true;
    }
    // What begins another epoch is later than what was read, and so is what follows it. What belongs
    // nowhere is of an epoch of before, or of one whose beginning was lost: reading again tells which.
    const follow = new Set([log.epoch]);
    let isUnknown = false;
    this.#held = held.filter(({ epoch, was }) => {
      if (was !== null && follow.has(was.epoch)) follow.add(epoch);
      if (!follow.has(epoch) && !epochs.some((one) => one.epoch === epoch)) isUnknown = true;
      return follow.has(epoch);
    });
    return isUnknown || this.#release();
  }

  #hold(commit: Commit): void {
    this.#heldBytes += commit.records.length;
    if (this.#heldBytes > MAX_HELD_BYTES) {
      this.#held = [];
      this.#heldBytes = 0;
      this.#hasForgotten = true;
      return;
    }
    (this.#held as Commit[]).push(commit);
  }

  /** Passes on what was held back, as far as it follows; true where something has to be read first. */
  #release(): boolean {
    if (this.#hasForgotten) {
      this.#hasForgotten = false;
      return true;
    }
    const held = this.#held ?? [];
    this.#held = null;
    this.#heldBytes = 0;
    for (let next = 0; next < held.length; next += 1) {
      if (this.#apply(held[next] as Commit)) continue;
      this.#held = [];
      for (const commit of held.slice(next)) this.#hold(commit);
      return true;
    }
    return false;
  }

  /** Passes on a commit that follows what is known, or was known before; else says false. */
  #apply(commit: Commit): boolean {
    const { epoch, was } = commit;
    const known = this.#known as Position;
    if (epoch !== known.epoch) {
      // Only the end of the epoch we are in says that nothing lies between.
      if (was === null || was.epoch !== known.epoch || was.seq > known.seq) return false;
      // For as long as the epoch lasts.
      this.#reset({ epoch: ownText(epoch), seq: was.seq });
    } else if (this.#isSeen(commit)) {
      this.events.duplicate();
      return true;
    }
    if (commit.first !== (this.#known as Position).seq + 1) return false;
    this.#pass(commit);
    return true;
  }

  #isSeen({ epoch, last }: Commit): boolean {
    const known = this.#known as Position;
    return epoch === known.epoch && last <= known.seq;
  }

  #pass(commit: Commit): void {
    const { seq, epoch } = this.#known as Position;
    this.#known = { seq: commit.last, epoch };
    if (!this.isWanted) return;
    for (const publication of publicationsOf(this.room, commit)) {
      if (publication.seq > seq) this.events.deliver(publication);
    }
  }

  /** Everything of the present epoch that has not been passed on up to there is gone. */
  #lost(to: number): void {
    const { seq, epoch } = this.#known as Position;
    if (to <= seq) return;
    this.#known = { seq: to, epoch };
    if (this.isWanted) this.events.lost(this.room, to, to - seq);
  }

  #reset(position: Position): void {
    const was = this.#known as Position;
    this.#known = position;
    if (this.isWanted) this.events.reset(this.room, position, was);
  }

  /** Ends each epoch up to the one at `place`, with what is missing of it. */
  #goTo(
    to: number,
    epochs: readonly { epoch: string; end: number }[],
    place: (one: { epoch: string }) => number,
  ): void {
    for (let at = place(this.#known as Position); at < to; at += 1) {
      const { end } = epochs[at] as { end: number };
      this.#lost(end);
      this.#reset({ epoch: (epochs[at + 1] as { epoch: string }).epoch, seq: end });
    }
  }
}
