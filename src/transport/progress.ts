/**
 * How far one peer has got, by bytes (V13): what it has been seen to take of what was written to
 * it, and to send. The stall clock, the heartbeat and the grace of a close all ask here.
 *
 * There are three proofs that a peer takes bytes. Bytes leave the queue of the socket, which the
 * kernel refuses while it is full; that moves in steps of up to a megabyte. A pong comes back for a
 * ping, so that everything written before that has been read (`pings.ts`). And, for a peer under
 * suspicion, its kernel acknowledges bytes that ours has held for a second or more; while nothing
 * waits, an acknowledgement says only that its kernel lives.
 *
 * Not here: who is judged, by how much patience (`room/member.ts`, `websocket.ts`).
 */
import type { Socket } from 'node:net';
import type { LoopClock } from '../loop-clock.js';
import type { Asker, KernelQueues } from './kernel-queue.js';
import { isKernelFull, kernelHas } from './raw-write.js';

/** What judging the peers of one server takes. */
export interface Watch {
  readonly clock: LoopClock;
  readonly kernel: KernelQueues;
}

export class Progress implements Asker {
  /** When the peer was last seen to take bytes, by the clock of the loop. */
  takenAt: number;
  /** When bytes of the peer were last seen. */
  heardAt: number;
  readonly #watch: Watch;
  /** Bytes of the peer at the last look; less than 0: not to be compared with. */
  #received = -1;
  /** Bytes the kernel had taken at the last look, and whether it refused more. */
  #kernelHad = 0;
  #wasFull = false;
  /** Bytes the kernel had taken when it was last asked, and most that can have been acknowledged. */
  #hadWhenAsked = 0;
  #acknowledged = Number.POSITIVE_INFINITY;
  /** The peer's kernel had not acknowledged what ours had had for a while. */
  #wasBehind = false;
  /** Bytes the kernel has taken before it is asked. */
  #hadBefore = 0;

  constructor(
    watch: Watch,
    readonly socket: Socket,
  ) {
    this.#watch = watch;
    this.takenAt = watch.clock.now();
    this.heardAt = this.takenAt;
  }

  /** The peer has said something. */
  heard(): void {
    this.heardAt = this.#watch.clock.now();
    this.#received = -1;
  }

  /** The peer has shown that it has read something. */
  taken(): void {
    this.takenAt = this.#watch.clock.now();
  }

  /** Looks at the socket. What has changed since the last look, has changed just now. */
  look(): void {
    const { socket } = this;
    // Whatever a socket that is not read from may have said, we have not listened.
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

  /** Has the kernel asked what the peer has acknowledged; to be repeated while there is suspicion. */
  suspect(): void {
    this.#watch.kernel.ask(this);
  }

  reading(): void {
    this.#hadBefore = kernelHas(this.socket);
  }

  unacknowledged(bytes: number): void {
    // The kernel looked at some time between the two, while more may have been written.
    const least = this.#hadBefore - bytes;
    const most = kernelHas(this.socket) - bytes;
    if (this.#wasBehind && least > this.#acknowledged) this.taken();
    this.#wasBehind = most < this.#hadWhenAsked || isKernelFull(this.socket);
    this.#acknowledged = most;
    this.#hadWhenAsked = this.#hadBefore;
  }
}
