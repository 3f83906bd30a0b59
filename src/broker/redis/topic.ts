/**
 * Delivery state of one room at this node, and how it catches up. Pure: it reads nothing itself.
 *
 * V4, V20: within an epoch commits are delivered in order, each once; duplicates are dropped and
 * counted. V21: after a hole, a new epoch or a disconnect it holds back all commits until the missing
 * part of the log has been read. What the log no longer has is reported exactly, by `lost`, and a
 * closed epoch by `reset`. V3: it holds back at most `MAX_HELD_BYTES`; past that it discards them all
 * and reads them from the log.
 *
 * Not here: what reads the log, and when (`subscriptions.ts`).
 */
import { ownText } from '../../own-text.js';
import type { Position, Publication } from '../broker.js';
import { type Commit, publicationsOf } from './format.js';

const MAX_HELD_BYTES = 1024 * 1024;

export interface TopicEvents {
  deliver(publication: Publication): void;
  reset(room: string, position: Position, was: Position): void;
  /** `messages`: number of publications that were not delivered. */
  lost(room: string, to: number, messages: number): void;
  /** A commit arrived that had been delivered before. */
  duplicate(): void;
  /** Number of publications that were read from the log instead of received. */
  backfilled(messages: number): void;
  /** A commit of the log could not be parsed. */
  unreadable(): void;
}

/** A room's state as Redis reports it. */
export interface State extends Position {
  /** Last positions of the previous epochs, latest first. */
  readonly closed: readonly Position[];
}

/** The state and the log entries after a number, in order. */
export interface Log extends State {
  readonly commits: readonly Commit[];
  /** The log has more entries than this answer. */
  readonly hasMore: boolean;
}

export class Topic {
  /** False after `unsubscribe`: the room lingers and delivers nothing. */
  isSubscribed = true;
  /** Position delivered last; null before any is known. */
  #known: Position | null;
  /** Commits held back until earlier ones have been delivered; null while live. */
  #held: Commit[] | null = [];
  #heldBytes = 0;
  /** Held-back commits were discarded for exceeding `MAX_HELD_BYTES`. */
  #hasForgotten = false;

  /** `since`: the node already has everything up to this position. */
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

  /** True if everything up to `known` has been delivered and the next commit can be. */
  get isLive(): boolean {
    return this.#held === null;
  }

  /** Holds back commits from now on: the link has ended, or the room's position is unknown. */
  suspend(): void {
    this.#held ??= [];
  }

  /** Discards its state for a new subscription, which starts at the position that Redis reports. */
  restart(): void {
    this.#known = null;
    this.#held = [];
    this.#heldBytes = 0;
  }

  /**
   * The room's position is known: delivers later commits. Returns true if the log must be read first.
   */
  opened({ seq, epoch }: Position): boolean {
    this.#known ??= { seq, epoch };
    return this.#release();
  }

  /** The room is still at `known`. Returns true if the log must be read first. */
  unchanged(): boolean {
    return this.#release();
  }

  /** A commit arrived. Returns true if the log must be read before it can be delivered. */
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

  /** True if Redis has commits that have not been delivered here. */
  isBehind({ epoch, seq }: Position): boolean {
    const known = this.#known;
    return known !== null && (known.epoch !== epoch || known.seq < seq);
  }

  /**
   * Delivers the log entries after `known` and the commits held back since, and reports what is
   * missing. Returns true if the log must be read again.
   */
  catchUp(log: Log): boolean {
    const held = this.#held ?? [];
    const epochs = [...log.closed].reverse().map(({ epoch, seq }) => ({ epoch, end: seq }));
    epochs.push({ epoch: log.epoch, end: log.seq });
    const current = epochs.length - 1;
    const place = ({ epoch }: { epoch: string }) => epochs.findIndex((one) => one.epoch === epoch);
    const at = place(this.#known as Position);
    if (at < 0) {
      // What happened between the two epochs is unknown.
      this.#reset({ epoch: log.epoch, seq: log.closed[0]?.seq ?? 0 });
      return true;
    }
    if (at < current && (this.#known as Position).seq > (epochs[at] as { end: number }).end) {
      // This node saw more than survived: the next epoch starts at a lower number than the log was read
      // from.
      this.#goTo(at + 1, epochs, place);
      return true;
    }
    // Held-back commits may fill what the log no longer has.
    const brought = held.filter((one) => place(one) < current || one.last <= log.seq);
    const fromLog = new Set(log.commits);
    const all = log.hasMore ? [...log.commits] : [...log.commits, ...brought];
    all.sort((a, b) => place(a) - place(b) || a.first - b.first);
    for (const commit of all) {
      if (place(commit) < place(this.#known as Position)) continue;
      this.#goTo(place(commit), epochs, place);
      if (this.#isSeen(commit)) continue;
      this.#lost(commit.first - 1);
      try {
        this.#pass(commit);
      } catch {
        this.events.unreadable();
        this.#lost(commit.last);
        continue;
      }
      if (fromLog.has(commit)) this.events.backfilled(commit.last - commit.first + 1);
    }
    if (log.hasMore) return true;
    this.#goTo(current, epochs, place);
    this.#lost(log.seq);
    if (this.#hasForgotten) {
      this.#hasForgotten = false;
      return true;
    }
    // A commit that begins an epoch following the log's is newer than the log, and so are its
    // successors. Any other unknown epoch is an older one, or one whose first commit was missed:
    // reading again tells which.
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
    this.#heldBytes += Buffer.byteLength(commit.records);
    if (this.#heldBytes > MAX_HELD_BYTES) {
      this.#held = [];
      this.#heldBytes = 0;
      this.#hasForgotten = true;
      return;
    }
    (this.#held as Commit[]).push(commit);
  }

  /** Delivers held-back commits as far as they follow. Returns true if the log must be read first. */
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

  /** Delivers a commit that follows `known`; drops a duplicate. Returns false if it can do neither. */
  #apply(commit: Commit): boolean {
    const { epoch, was } = commit;
    const known = this.#known as Position;
    if (epoch !== known.epoch) {
      // Only a commit that names the end of our current epoch proves that nothing is missing.
      if (was === null || was.epoch !== known.epoch || was.seq > known.seq) return false;
      // Copied, since it is kept as long as the epoch lasts.
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

  /** @throws Error, before anything has changed, if the commit is malformed */
  #pass(commit: Commit): void {
    const { seq, epoch } = this.#known as Position;
    const publications = this.isSubscribed ? publicationsOf(this.room, commit) : [];
    this.#known = { seq: commit.last, epoch };
    for (const publication of publications) {
      if (publication.seq > seq) this.events.deliver(publication);
    }
  }

  /** Reports undelivered publications of the current epoch up to `to` as lost. */
  #lost(to: number): void {
    const { seq, epoch } = this.#known as Position;
    if (to <= seq) return;
    this.#known = { seq: to, epoch };
    if (this.isSubscribed) this.events.lost(this.room, to, to - seq);
  }

  #reset(position: Position): void {
    const was = this.#known as Position;
    this.#known = position;
    if (this.isSubscribed) this.events.reset(this.room, position, was);
  }

  /** Advances through each epoch before index `to`, reporting its losses and the reset. */
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
