/**
 * Commands of one connection that are not done yet. They start in the order they arrived. A command that
 * has to wait holds back those behind it, so that a publish behind a join finds the room joined. Only
 * pipelined commands, such as publishes, do not: the broker keeps their order, and may be far away.
 *
 * V3: waiting and pending commands are bounded by number and bytes, counted before they are accepted.
 *
 * Not here: decoding and running commands (`session.ts`, `commands/`), scheduling (`turns.ts`).
 */
import type { CommandId } from '../protocol/fields.js';
import type { Share, Turns, Work } from '../turns.js';

/** Bound of waiting and pending commands in bytes; at least two messages of the maximum size. */
const BYTES = 256 * 1024;
/** Cost of a frame besides its text. */
const FRAME_BYTES = 64;
/** Maximum pipelined commands: a hundred a second where each takes 640 ms. */
const UNDER_WAY = 64;

/** The session that owns the inbox. */
export interface Owner {
  /** Runs a command. Returns a promise in `done` if it is not done yet. */
  handle(text: string, bytes: number): UnderWay | undefined;
  /** Pauses or resumes input, for transports that can. */
  hold(isHeld: boolean): void;
  /** Too much input is waiting, or it has waited for too long. */
  overflowed(): void;
  /** Replies that a command failed. */
  refuse(id: CommandId | undefined, error: unknown): void;
  /** An internal error. */
  failed(): void;
}

/** A command that is not done yet. */
export interface UnderWay {
  readonly id: CommandId | undefined;
  /** Rejects with the error to reply with. */
  readonly done: Promise<unknown>;
  /** Later commands need not wait for it. */
  readonly isPipelined: boolean;
}

export class Inbox implements Work {
  readonly #owner: Owner;
  readonly #turns: Turns;
  readonly #maxBytes: number;
  /** Schedules waiting commands; null until the first has to wait. */
  #share: Share | null = null;
  #frames: { text: string; bytes: number }[] = [];
  #frameBytes = 0;
  /** A command that holds back the others is pending. */
  #isBusy = false;
  /** Pipelined commands pending. */
  #underWay = 0;
  #underWayBytes = 0;
  #hasEnded = false;

  /** `maxMessageBytes`: maximum size of one frame. */
  constructor(owner: Owner, turns: Turns, maxMessageBytes: number) {
    this.#owner = owner;
    this.#turns = turns;
    this.#maxBytes = Math.max(BYTES, 2 * (maxMessageBytes + FRAME_BYTES));
  }

  /** A frame has arrived. */
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

  /** Holds back later commands until `done` settles. */
  wait(done: Promise<unknown>, id: CommandId | undefined): void {
    this.#isBusy = true;
    this.#whenDone(done, id, () => {
      this.#isBusy = false;
    });
  }

  /** Starts no further command. */
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
    // Waiting commands have their own bound.
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

  /** The next command, if it may start now. */
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

  /** No async function, for speed: every publish ordered by another worker comes through here. */
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
