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

interface Waiting extends Asking {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export class Asked {
  /** The oldest first. */
  readonly #sent = new Map<number, Waiting>();
  readonly #unsent = new Set<Waiting>();
  readonly #answered: () => void;
  #unsentBytes = 0;
  #numbers = 0;
  #link: Link | null = null;
  #expiry: NodeJS.Timeout | undefined;
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
    for (const waiting of this.#unsent) this.#send(link, waiting);
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
      const waiting: Waiting = { ...asking, resolve: resolve as (value: unknown) => void, reject };
      this.#expiry ??= setInterval(() => this.#expire(), EXPIRE_MS);
      if (this.#link !== null) this.#send(this.#link, waiting);
      else {
        this.#unsent.add(waiting);
        this.#unsentBytes += asking.bytes;
      }
    });
  }

  resolve(id: number, value: unknown): void {
    this.#sent.get(id)?.resolve(value);
    this.#drop(id);
  }

  reject(id: number, refusal: Refusal): void {
    this.#sent.get(id)?.reject(refusal);
    this.#drop(id);
  }

  /** What was sent is not answered any more. */
  lost(why: string): void {
    for (const [id, { reject, unknown }] of this.#sent) {
      reject(unknown(why));
      this.#drop(id);
    }
  }

  /** Resolves when what was sent is answered, or will not be. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const waiting of this.#unsent) this.#refuse(waiting, closing());
    if (this.hasSent) {
      await new Promise<void>((resolve) => {
        this.#closed = resolve;
      });
    }
    clearInterval(this.#expiry);
  }

  #send(link: Link, waiting: Waiting): void {
    this.#numbers = (this.#numbers + 1) >>> 0;
    this.#sent.set(this.#numbers, waiting);
    waiting.send(link, this.#numbers);
  }

  #drop(id: number): void {
    if (!this.#sent.delete(id) || this.hasSent) return;
    this.#closed();
    this.#answered();
  }

  #refuse(waiting: Waiting, error: unknown): void {
    this.#unsent.delete(waiting);
    this.#unsentBytes -= waiting.bytes;
    waiting.reject(error);
  }

  /** Deadlines are not in the order of what was asked. */
  #expire(): void {
    const now = nowMs();
    const isOver = ({ deadline, signal }: Waiting) => deadline <= now || signal?.aborted === true;
    for (const [id, waiting] of this.#sent) {
      if (!isOver(waiting)) continue;
      const why = 'the worker that orders this room has not answered in time';
      waiting.reject(waiting.unknown(why));
      this.#drop(id);
    }
    // A little early: its publisher is to hear that it is certain before its own time is over.
    const soon = now + 2 * EXPIRE_MS;
    for (const waiting of this.#unsent) {
      if (waiting.deadline > soon && !isOver(waiting)) continue;
      const why = 'The worker that orders this room is not there.';
      this.#refuse(waiting, new Refusal('broker_unavailable', why));
    }
    if (this.#sent.size + this.#unsent.size > 0) return;
    clearInterval(this.#expiry);
    this.#expiry = undefined;
  }
}

const closing = () => new Refusal('broker_unavailable', 'The broker is closed.');
