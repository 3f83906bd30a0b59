/**
 * Requests this worker has made to another worker: publishes and queries, in order, sent or still
 * unsent.
 *
 * V22: a request sent to a worker that died may have been carried out and is never resent; an unsent
 * one waits for the next worker, until its deadline. V3: unsent requests are bounded in bytes, and all
 * pending ones in number. V8: no request outlives its deadline or its signal.
 *
 * Not here: the link and the rooms (`visit.ts`).
 */
import { Refusal } from '../../errors.js';
import { clearInterval, nowMs, setInterval } from '../../time.js';
import { type Link, MAX_BYTES } from './link.js';
import { type Numbered, Numbers } from './numbered.js';

/** Most pending publishes and queries. */
const MAX_WAITING = 16_384;
/** Interval of the check for expired requests, in milliseconds. */
const EXPIRE_MS = 50;

export interface Asking {
  /** On the clock of `nowMs()`; `Infinity` if a signal ends it. */
  readonly deadline: number;
  readonly signal?: AbortSignal | undefined;
  /** Bytes to count while it is unsent. */
  readonly bytes: number;
  /** Writes the request to the link, under this number. */
  readonly send: (link: Link, id: number) => void;
  /** Makes the refusal for an unknown outcome. */
  readonly unknown: (why: string) => Refusal;
}

/** A pending request. Once sent, nothing else of it is kept. */
interface Waiting extends Numbered {
  readonly deadline: number;
  readonly signal: AbortSignal | undefined;
  readonly unknown: (why: string) => Refusal;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export class Asked {
  readonly #sent = new Numbers<Waiting>();
  readonly #unsent = new Map<Waiting, Asking>();
  readonly #answered: () => void;
  #unsentBytes = 0;
  #link: Link | null = null;
  #expiry: NodeJS.Timeout | undefined;
  /** Earliest deadline of any pending request: no check is needed before. */
  #soonest = Number.POSITIVE_INFINITY;
  #isClosed = false;
  #closed: () => void = () => {};

  /** `answered` is called when no sent request is pending any more. */
  constructor(answered: () => void) {
    this.#answered = answered;
  }

  /** Bytes of unsent requests. */
  get bytes(): number {
    return this.#unsentBytes;
  }

  get hasSent(): boolean {
    return this.#sent.size > 0;
  }

  /** Sends requests over this link from now on, the unsent ones first. null: requests wait. */
  sendTo(link: Link | null): void {
    this.#link = link;
    if (link === null) return;
    for (const [waiting, { send }] of this.#unsent) this.#send(link, waiting, send);
    this.#unsent.clear();
    this.#unsentBytes = 0;
  }

  /** @throws Refusal `room_busy`, `broker_unavailable` */
  ask<T>(asking: Asking): Promise<T> {
    if (this.#isClosed) throw closing();
    if (nowMs() > asking.deadline) {
      throw new Refusal('broker_unavailable', 'Its deadline has passed.');
    }
    const isFull = this.#link?.isFull === true || this.#unsentBytes + asking.bytes > MAX_BYTES;
    if (isFull || this.#sent.size + this.#unsent.size >= MAX_WAITING) {
      throw new Refusal('room_busy', 'The worker that orders this room does not keep up.');
    }
    return new Promise<T>((resolve, reject) => {
      const { deadline, signal, unknown, send, bytes } = asking;
      const waiting: Waiting = {
        number: 0,
        deadline,
        signal,
        unknown,
        resolve: resolve as (value: unknown) => void,
        reject,
      };
      this.#soonest = Math.min(this.#soonest, soonestOf(waiting));
      this.#expiry ??= setInterval(() => this.#expire(), EXPIRE_MS);
      if (this.#link !== null) this.#send(this.#link, waiting, send);
      else {
        this.#unsent.set(waiting, asking);
        this.#unsentBytes += bytes;
      }
    });
  }

  resolve(id: number, value: unknown): void {
    const waiting = this.#sent.take(id);
    if (waiting === null) return;
    waiting.resolve(value);
    this.#dropped();
  }

  reject(id: number, refusal: Refusal): void {
    const waiting = this.#sent.take(id);
    if (waiting === null) return;
    waiting.reject(refusal);
    this.#dropped();
  }

  /** Fails all sent requests: their answers will not come. */
  lost(why: string): void {
    for (const { number, unknown } of this.#sent.all()) this.reject(number, unknown(why));
  }

  /** Refuses unsent requests. Resolves when every sent one is settled. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const waiting of this.#unsent.keys()) this.#refuse(waiting, closing());
    if (this.hasSent) {
      await new Promise<void>((resolve) => {
        this.#closed = resolve;
      });
    }
    clearInterval(this.#expiry);
  }

  #send(link: Link, waiting: Waiting, send: Asking['send']): void {
    send(link, this.#sent.add(waiting));
  }

  #dropped(): void {
    if (this.hasSent) return;
    this.#closed();
    this.#answered();
  }

  #refuse(waiting: Waiting, error: unknown): void {
    this.#unsentBytes -= this.#unsent.get(waiting)?.bytes ?? 0;
    this.#unsent.delete(waiting);
    waiting.reject(error);
  }

  /** Deadlines are not in the order of the requests. */
  #expire(): void {
    const now = nowMs();
    if (this.#sent.size + this.#unsent.size === 0) {
      clearInterval(this.#expiry);
      this.#expiry = undefined;
      this.#soonest = Number.POSITIVE_INFINITY;
      return;
    }
    // Slightly early, so that the publisher of an unsent message gets a certain refusal before its own
    // deadline.
    const soon = now + 2 * EXPIRE_MS;
    if (this.#soonest > soon) return;
    let soonest = Number.POSITIVE_INFINITY;
    const isOver = ({ deadline, signal }: Waiting) => deadline <= now || signal?.aborted === true;
    for (const waiting of this.#sent.all()) {
      if (!isOver(waiting)) {
        soonest = Math.min(soonest, soonestOf(waiting));
        continue;
      }
      const why = 'the worker that orders this room has not answered in time';
      this.reject(waiting.number, waiting.unknown(why));
    }
    for (const waiting of this.#unsent.keys()) {
      if (waiting.deadline > soon && !isOver(waiting)) {
        soonest = Math.min(soonest, soonestOf(waiting));
        continue;
      }
      const why = 'The worker that orders this room is unavailable.';
      this.#refuse(waiting, new Refusal('broker_unavailable', why));
    }
    this.#soonest = soonest;
  }
}

/** A signal may abort at any time. */
const soonestOf = ({ deadline, signal }: Waiting): number => (signal === undefined ? deadline : 0);

/** Refusal for a publish of unknown outcome. */
export const uncertain = (why: string): Refusal =>
  new Refusal('broker_uncertain', `The message may or may not have been published: ${why}.`);
/** Refusal for an unanswered query. */
export const unanswered = (why: string): Refusal =>
  new Refusal('broker_unavailable', `The request was not answered: ${why}.`);

const closing = () => new Refusal('broker_unavailable', 'The broker is closed.');
