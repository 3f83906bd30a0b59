/**
 * What this worker has asked of another one and waits for: publishes and questions, in the order they
 * came, sent or not yet.
 *
 * V22: what was sent to a worker that ended may have been done, and is never sent again; what was not
 * sent waits for the next worker, until its deadline. V3: what waits is bounded in messages and bytes.
 * V8: nothing waits beyond its deadline, or its signal.
 *
 * Not here: the link and the rooms (`visit.ts`).
 */
import { Refusal } from '../../errors.js';
import { clearInterval, nowMs, setInterval } from '../../time.js';
import { type Link, MAX_BYTES } from './link.js';
import { type Numbered, Numbers } from './numbered.js';

/** Publishes and questions that may wait for their answer. */
const MAX_WAITING = 16_384;
/** How often it is looked for those whose deadline has passed. */
const EXPIRE_MS = 50;

export interface Asking {
  /** By `nowMs()`; `Infinity` where a signal ends it. */
  readonly deadline: number;
  readonly signal?: AbortSignal | undefined;
  /** While it is not sent. */
  readonly bytes: number;
  /** Writes it to the link, under this number. */
  readonly send: (link: Link, id: number) => void;
  /** What is said when nobody can say whether it was done. */
  readonly unknown: (why: string) => Refusal;
}

/** Of what is sent nothing else is kept. */
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
  /** Nothing is over before that: they are not looked through until then. */
  #soonest = Number.POSITIVE_INFINITY;
  #isClosed = false;
  #closed: () => void = () => {};

  /** `answered`: nothing that was sent waits any more. */
  constructor(answered: () => void) {
    this.#answered = answered;
  }

  /** Bytes that are not sent. */
  get bytes(): number {
    return this.#unsentBytes;
  }

  get hasSent(): boolean {
    return this.#sent.size > 0;
  }

  /** From now on it is sent there, what waits first; null: it waits. */
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

  /** What was sent is not answered any more. */
  lost(why: string): void {
    for (const { number, unknown } of this.#sent.all()) this.reject(number, unknown(why));
  }

  /** Resolves when what was sent is answered, or will not be. */
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

  /** Deadlines are not in the order of what was asked. */
  #expire(): void {
    const now = nowMs();
    if (this.#sent.size + this.#unsent.size === 0) {
      clearInterval(this.#expiry);
      this.#expiry = undefined;
      this.#soonest = Number.POSITIVE_INFINITY;
      return;
    }
    // A little early: the publisher of what is not sent is to hear that it is certain before its own time is over.
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
      const why = 'The worker that orders this room is not there.';
      this.#refuse(waiting, new Refusal('broker_unavailable', why));
    }
    this.#soonest = soonest;
  }
}

/** A signal may end it at any time. */
const soonestOf = ({ deadline, signal }: Waiting): number => (signal === undefined ? deadline : 0);

/** What `unknown` says of a publish. */
export const uncertain = (why: string): Refusal =>
  new Refusal('broker_uncertain', `It may have been published, or not: ${why}.`);
/** Of a question. */
export const unanswered = (why: string): Refusal =>
  new Refusal('broker_unavailable', `It was not answered: ${why}.`);

const closing = () => new Refusal('broker_unavailable', 'The broker is closed.');
