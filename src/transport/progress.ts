/**
 * Progress of one peer in bytes (V13): when it was last seen to take output or to send input. The stall
 * timeout, the heartbeat and the grace of a close all use it.
 *
 * There are three proofs that a peer takes bytes. First, the socket's queue, which fills when the kernel
 * is full, shrinks; that moves in steps of up to a megabyte. Second, a pong arrives, so everything
 * before its ping was read (`pings.ts`). Third, for a peer under suspicion, its kernel acknowledges
 * bytes that the local kernel has held for a second or more; while nothing waits, an acknowledgement
 * only shows that its kernel is alive.
 *
 * Not here: judging a peer and its timeouts (`room/member.ts`, `websocket.ts`).
 */
import type { Socket } from 'node:net';
import type { LoopClock } from '../loop-clock.js';
import type { Asker, KernelQueues } from './kernel-queue.js';
import { isKernelFull, kernelHas } from './raw-write.js';

/** What the peers of one server share for this. */
export interface Watch {
  readonly clock: LoopClock;
  readonly kernel: KernelQueues;
}

export class Progress implements Asker {
  /** When the peer was last seen to take bytes, in loop clock milliseconds. */
  takenAt: number;
  /** When input of the peer was last seen, in loop clock milliseconds. */
  heardAt: number;
  readonly #watch: Watch;
  /** Bytes received at the last look; negative if not comparable. */
  #received = -1;
  /** Bytes the kernel had taken at the last look, and whether it refused more. */
  #kernelHad = 0;
  #wasFull = false;
  /**
   * Bytes the kernel had taken at the last reading, and the most that can have been acknowledged then.
   */
  #hadWhenAsked = 0;
  #acknowledged = Number.POSITIVE_INFINITY;
  /** At the last reading, the peer's kernel had not acknowledged bytes held for a while. */
  #wasBehind = false;
  /** Bytes the kernel had taken just before the reading. */
  #hadBefore = 0;

  constructor(
    watch: Watch,
    readonly socket: Socket,
  ) {
    this.#watch = watch;
    this.takenAt = watch.clock.now();
    this.heardAt = this.takenAt;
  }

  /** The peer has sent something. */
  heard(): void {
    this.heardAt = this.#watch.clock.now();
    this.#received = -1;
  }

  /** The peer has shown that it read something. */
  taken(): void {
    this.takenAt = this.#watch.clock.now();
  }

  /** Looks at the socket. A change since the last look counts as happening now. */
  look(): void {
    const { socket } = this;
    // While the socket is paused the peer may have sent anything: it counts as heard.
    if (socket.isPaused()) this.heardAt = this.#watch.clock.now();
    const received = socket.bytesRead;
    if (this.#received >= 0 && received > this.#received) {
      this.heardAt = this.#watch.clock.now();
    }
    this.#received = received;
    const has = kernelHas(socket);
    if (this.#wasFull && has > this.#kernelHad) this.taken();
    this.#kernelHad = has;
    this.#wasFull = isKernelFull(socket);
  }

  /**
   * Requests a reading of what the peer's kernel has acknowledged; repeat it while the suspicion lasts.
   */
  suspect(): void {
    this.#watch.kernel.ask(this);
  }

  reading(): void {
    this.#hadBefore = kernelHas(this.socket);
  }

  unacknowledged(bytes: number): void {
    // The kernel read its queue between the two calls, while more may have been written.
    const least = this.#hadBefore - bytes;
    const most = kernelHas(this.socket) - bytes;
    if (this.#wasBehind && least > this.#acknowledged) this.taken();
    this.#wasBehind = most < this.#hadWhenAsked || isKernelFull(this.socket);
    this.#acknowledged = most;
    this.#hadWhenAsked = this.#hadBefore;
  }
}
