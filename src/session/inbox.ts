/**
 * What one connection has said and what is not done yet: commands are begun in the order they came. One
 * that has to wait holds back those behind it, so that a publish behind a join finds the room joined;
 * only publishes do not, which a broker gives their order: it may be far away.
 *
 * V3: what waits and what is under way is bounded by number and bytes, counted before it is accepted.
 *
 * Not here: what a command is (`session.ts`, `commands/`), whose turn it is (`turns.ts`).
 */
import type { CommandId } from '../protocol/fields.js';
import type { Share, Turns, Work } from '../turns.js';

/** What waits and what is under way, in bytes; two messages of the greatest length in any case. */
const BYTES = 256 * 1024;
/** What a frame costs beside its text. */
const FRAME_BYTES = 64;
/** Commands under way that do not hold back others: a hundred a second where each takes 640 ms. */
const UNDER_WAY = 64;

/** Whose it is. */
export interface Owner {
  /** Carries it out. A promise where it is not done yet. */
  handle(text: string, bytes: number): UnderWay | undefined;
  /** Have nothing more come, or anything again; for transports that can do so. */
  hold(isHeld: boolean): void;
  /** More has come than may wait, or it has waited for too long. */
  overflowed(): void;
  /** Says that a command was not carried out. */
  refuse(id: CommandId | undefined, error: unknown): void;
  /** A mistake of ours. */
  failed(): void;
}

/** A command that is not done yet. */
export interface UnderWay {
  readonly id: CommandId | undefined;
  /** Rejects where it is to be refused. */
  readonly done: Promise<unknown>;
  /** Later commands need not wait for it. */
  readonly isPipelined: boolean;
}

export class Inbox implements Work {
  readonly #owner: Owner;
  readonly #turns: Turns;
  readonly #maxBytes: number;
  /** For what has waited; null until something has. */
  #share: Share | null = null;
  #frames: { text: string; bytes: number }[] = [];
  #frameBytes = 0;
  /** Something is under way that holds back the others. */
  #isBusy = false;
  /** Of what is under way beside that. */
  #underWay = 0;
  #underWayBytes = 0;
  #hasEnded = false;

  /** `maxMessageBytes`: of one frame. */
  constructor(owner: Owner, turns: Turns, maxMessageBytes: number) {
    this.#owner = owner;
    this.#turns = turns;
    this.#maxBytes = Math.max(BYTES, 2 * (maxMessageBytes + FRAME_BYTES));
  }

  /** Something was said. */
  received(text: string, bytes: number): void {
    if (this.#hasEnded) return;
    if (this.#frames.length === 0 && this.#mayBegin(bytes)) {
      this.#begin(text, bytes);
      return;
    }
    this.#frames.push({ text, bytes });
    this.#frameBytes += bytes + FRAME_BYTES;
    const all = this.#frameBytes + this.#underWayBytes;
    if (all > this.#maxBytes) this.#owner.overflowed();
    else if (all > this.#maxBytes / 2) this.#owner.hold(true);
  }

  /** Later commands wait until it is done, or refused. */
  wait(done: Promise<unknown>, id: CommandId | undefined): void {
    this.#isBusy = true;
    this.#whenDone(done, id, () => {
      this.#isBusy = false;
    });
  }

  /** Nothing more is begun. */
  end(): void {
    this.#hasEnded = true;
    this.#frames = [];
    this.#share?.end();
  }

  get waitingBytes(): number {
    return this.#frameBytes;
  }

  step(): boolean {
    const next = this.#next();
    if (next === undefined) return false;
    this.#frames.shift();
    this.#frameBytes -= next.bytes + FRAME_BYTES;
    this.#begin(next.text, next.bytes);
    if (this.#frames.length === 0) this.#owner.hold(false);
    return this.#next() !== undefined;
  }

  held(): void {
    // What waits has a bound of its own.
  }

  released(): void {
    // As above.
  }

  starved(): void {
    this.#owner.overflowed();
  }

  failed(): void {
    this.#owner.failed();
  }

  /** What may be begun now. */
  #next(): { text: string; bytes: number } | undefined {
    const [next] = this.#frames;
    return next !== undefined && this.#mayBegin(next.bytes) ? next : undefined;
  }

  #mayBegin(bytes: number): boolean {
    if (this.#isBusy) return false;
    if (this.#underWay === 0) return true;
    const all = this.#underWayBytes + bytes + FRAME_BYTES;
    return this.#underWay < UNDER_WAY && all <= this.#maxBytes / 2;
  }

  #begin(text: string, bytes: number): void {
    const begun = this.#owner.handle(text, bytes);
    if (begun === undefined) return;
    if (!begun.isPipelined) {
      this.wait(begun.done, begun.id);
      return;
    }
    const cost = bytes + FRAME_BYTES;
    this.#underWay += 1;
    this.#underWayBytes += cost;
    this.#whenDone(begun.done, begun.id, () => {
      this.#underWay -= 1;
      this.#underWayBytes -= cost;
    });
  }

  /** Not by async functions: a publish that another worker orders comes through here. */
  #whenDone(done: Promise<unknown>, id: CommandId | undefined, act: () => void): void {
    const goOn = () => {
      act();
      this.#goOn();
    };
    done.then(goOn, (error: unknown) => {
      this.#owner.refuse(id, error);
      goOn();
    });
  }

  #goOn(): void {
    if (this.#hasEnded || this.#next() === undefined) return;
    this.#share ??= this.#turns.share(this);
    this.#share.run();
  }
}
