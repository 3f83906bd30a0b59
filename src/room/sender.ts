/**
 * Writes to one member's transport: the one outstanding batch, and how long the peer has taken nothing.
 * Batches are counted here, once the kernel has them.
 *
 * V3: the next batch is handed over only after the previous one was taken whole. V13: a peer is judged
 * by the bytes it takes.
 *
 * Not here: what goes next (`outbox.ts`), bytes on the wire (`transport/`).
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
  readonly #owner: { readonly isSlow: boolean };
  readonly #context: SenderContext;
  #outstanding: Batch | null = null;
  /**
   * Since when something has waited without the transport taking a batch, in loop clock milliseconds;
   * null if nothing waits.
   */
  #waitingSince: number | null = null;
  /** Messages of the batch that was outstanding at `end`. */
  #cutOff = 0;

  constructor(transport: Transport, owner: { readonly isSlow: boolean }, context: SenderContext) {
    this.#transport = transport;
    this.#owner = owner;
    this.#context = context;
  }

  /** Nothing is outstanding. */
  get isIdle(): boolean {
    return this.#outstanding === null;
  }

  /** Nothing is outstanding and the transport accepts a batch now. */
  get isFree(): boolean {
    return this.#outstanding === null && this.#transport.writable;
  }

  /** A polling peer has no request open, so the transport takes nothing now. */
  get isBetweenPolls(): boolean {
    return this.#outstanding === null && !this.#transport.writable;
  }

  get messages(): number {
    return this.#outstanding?.messages ?? 0;
  }

  get bytes(): number {
    return this.#outstanding?.bytes.length ?? 0;
  }

  /** Milliseconds the peer has taken no byte while something waits for it; 0 if nothing waits (V13). */
  get stalledMs(): number {
    if (this.#waitingSince === null) return 0;
    const since = Math.max(this.#waitingSince, this.#transport.progressAt);
    return this.#context.clock.now() - since;
  }

  /** Messages fully handed to the kernel that the peer has not confirmed. */
  get unconfirmedMessages(): number {
    const batch = this.#outstanding;
    const unfinished = batch === null ? this.#cutOff : batch.messages + batch.replayed;
    return Math.max(0, this.#transport.unconfirmedMessages - unfinished);
  }

  /** When the oldest outstanding message was accepted or control frame began to wait; else `now`. */
  oldestAt(now: number): number {
    const batch = this.#outstanding;
    // Replayed messages are old by design.
    if (batch === null || batch.replayed > 0) return now;
    const waited = this.#waitingSince === null ? 0 : this.#context.clock.now() - this.#waitingSince;
    return batch.frames[0]?.acceptedAt ?? now - waited;
  }

  /** Hands over a batch. Only called while `isFree`. */
  send(batch: Batch): void {
    const now = nowMs();
    this.#waited(batch, now);
    // The transport accepts a batch, so it has taken all earlier ones.
    this.#waitingSince = null;
    const messages = batch.messages + batch.replayed;
    if (this.#transport.write(batch.bytes, messages)) this.#count(batch, now);
    else this.#await(batch);
  }

  /** A batch was written to the transport, which has not taken all of it. */
  sent(batch: Batch): void {
    this.#waited(batch, nowMs());
    this.#await(batch);
  }

  /** The transport has taken the outstanding batch whole. Returns false if there was none. */
  completed(): boolean {
    const batch = this.#outstanding;
    if (batch === null) return false;
    this.#outstanding = null;
    this.#context.memory.release(batch);
    this.#waitingSince = null;
    this.#count(batch, nowMs());
    return true;
  }

  /** Something waits for the peer. */
  wait(): void {
    this.#waitingSince ??= this.#context.clock.now();
  }

  /** Nothing waits any more. */
  rest(): void {
    this.#waitingSince = null;
  }

  /** Releases the outstanding batch. Returns its number of messages. */
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
    const { isSlow } = this.#owner;
    for (const frame of batch.frames) {
      if (!frame.counted) continue;
      this.#context.observer.queueWaited(index, isSlow, (now - frame.acceptedAt) / 1000, 1);
    }
  }

  /** Counts a batch that the kernel has taken. */
  #count(batch: Batch, now: number): void {
    const { observer } = this.#context;
    const { index } = this.#transport.framing;
    const { isSlow } = this.#owner;
    observer.sentBytes(index, batch.bytes.length);
    for (const frame of batch.frames) {
      if (frame.counted) observer.delivered(index, isSlow, (now - frame.acceptedAt) / 1000, 1);
    }
  }
}
