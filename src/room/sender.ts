/**
 * What is being written to one member: one batch outstanding, and since when the peer has had something
 * to take. Batches are counted here, when the kernel has them.
 *
 * V3: nothing is handed over before the batch before it was taken whole. V13: a peer is judged by bytes
 * that it takes.
 *
 * Not here: what is handed over next (`outbox.ts`), bytes (`transport/`).
 */
import type { LoopClock } from '../loop-clock.js';
import { nowMs } from '../time.js';
import type { Transport } from '../transport/transport.js';
import type { Batch, QueueMemory } from './frame.js';
import type { Observer } from './observer.js';

export interface SenderContext {
  readonly clock: LoopClock;
  readonly observer: Observer;
  readonly memory: QueueMemory;
}

export class Sender {
  readonly #transport: Transport;
  readonly #whose: { readonly isSlow: boolean };
  readonly #context: SenderContext;
  #outstanding: Batch | null = null;
  /**
   * Since when the transport has taken no batch of what there is for it, by the clock of the loop;
   * null while there is nothing.
   */
  #waitingSince: number | null = null;
  /** Messages of the batch that was outstanding at the end. */
  #cutOff = 0;

  constructor(transport: Transport, whose: { readonly isSlow: boolean }, context: SenderContext) {
    this.#transport = transport;
    this.#whose = whose;
    this.#context = context;
  }

  /** Nothing is outstanding. */
  get isIdle(): boolean {
    return this.#outstanding === null;
  }

  /** Nothing is outstanding, and the transport takes a batch now. */
  get isFree(): boolean {
    return this.#outstanding === null && this.#transport.writable;
  }

  /** The transport takes nothing before the peer asks again. */
  get isBetweenPolls(): boolean {
    return this.#outstanding === null && !this.#transport.writable;
  }

  get messages(): number {
    return this.#outstanding?.messages ?? 0;
  }

  get bytes(): number {
    return this.#outstanding?.bytes.length ?? 0;
  }

  /** How long the peer has taken not a byte although there is something to take, in milliseconds (V13). */
  get stalledMs(): number {
    if (this.#waitingSince === null) return 0;
    const since = Math.max(this.#waitingSince, this.#transport.progressAt);
    return this.#context.clock.now() - since;
  }

  /** Messages the kernel has got whole and the peer has not confirmed. */
  get unconfirmedMessages(): number {
    const batch = this.#outstanding;
    const unfinished = batch === null ? this.#cutOff : batch.messages + batch.replayed;
    return Math.max(0, this.#transport.unconfirmedMessages - unfinished);
  }

  /** When the oldest message outstanding was accepted, or the oldest reply began to wait; `now` without one. */
  oldestAt(now: number): number {
    const batch = this.#outstanding;
    // What is read again is late by intent.
    if (batch === null || batch.replayed > 0) return now;
    const waited = this.#waitingSince === null ? 0 : this.#context.clock.now() - this.#waitingSince;
    return batch.frames[0]?.acceptedAt ?? now - waited;
  }

  /** Hands over a batch; `isFree`. */
  send(batch: Batch): void {
    const now = nowMs();
    this.#waited(batch, now);
    // That it could be asked to take a batch says that it has taken all before.
    this.#waitingSince = null;
    const messages = batch.messages + batch.replayed;
    if (this.#transport.write(batch.bytes, messages)) this.#count(batch, now);
    else this.#await(batch);
  }

  /** The transport was handed a batch and has not taken all of it. */
  sent(batch: Batch): void {
    this.#waited(batch, nowMs());
    this.#await(batch);
  }

  /** The transport has taken the outstanding batch whole. Says whether there was one. */
  completed(): boolean {
    const batch = this.#outstanding;
    if (batch === null) return false;
    this.#outstanding = null;
    this.#context.memory.release(batch);
    this.#waitingSince = null;
    this.#count(batch, nowMs());
    return true;
  }

  /** There is something for the peer. */
  wait(): void {
    this.#waitingSince ??= this.#context.clock.now();
  }

  /** There is nothing any more. */
  rest(): void {
    this.#waitingSince = null;
  }

  /** Lets go of the batch outstanding; how many messages it had. */
  end(): number {
    const batch = this.#outstanding;
    this.#cutOff = batch?.messages ?? 0;
    if (batch !== null) this.#context.memory.release(batch);
    this.#outstanding = null;
    return this.#cutOff;
  }

  #await(batch: Batch): void {
    this.#outstanding = batch;
    this.wait();
    this.#context.memory.hold(batch);
  }

  #waited(batch: Batch, now: number): void {
    const { index } = this.#transport.framing;
    const { isSlow } = this.#whose;
    for (const frame of batch.frames) {
      if (!frame.counted) continue;
      this.#context.observer.queueWaited(index, isSlow, (now - frame.acceptedAt) / 1000, 1);
    }
  }

  /** Counts a batch the kernel has. */
  #count(batch: Batch, now: number): void {
    const { observer } = this.#context;
    const { index } = this.#transport.framing;
    const { isSlow } = this.#whose;
    observer.sentBytes(index, batch.bytes.length);
    for (const frame of batch.frames) {
      if (frame.counted) observer.delivered(index, isSlow, (now - frame.acceptedAt) / 1000, 1);
    }
  }
}
