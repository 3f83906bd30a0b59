/**
 * Control frames waiting for one member: first in, first out, never dropped, bounded in number and bytes
 * separately from data, which cannot displace them (V3, V5).
 *
 * Not here: evicting a member whose lane is full (`member.ts`).
 */
import type { QueueMemory } from './frame.js';

/** Bounds of one lane. */
export interface ControlBounds {
  readonly controlMessages: number;
  readonly controlBytes: number;
}

export class ControlLane {
  readonly #bounds: ControlBounds;
  readonly #memory: QueueMemory;
  #frames: Buffer[] = [];
  #bytes = 0;

  constructor(bounds: ControlBounds, memory: QueueMemory) {
    this.#bounds = bounds;
    this.#memory = memory;
  }

  get frames(): readonly Buffer[] {
    return this.#frames;
  }

  get bytes(): number {
    return this.#bytes;
  }

  fits({ length }: Buffer): boolean {
    const { controlMessages, controlBytes } = this.#bounds;
    return this.#frames.length < controlMessages && this.#bytes + length <= controlBytes;
  }

  push(frame: Buffer): void {
    this.#frames.push(frame);
    this.#add(frame.length);
  }

  /** Moves frames to `parts`, up to `maxBytes` but at least one if any. Returns their bytes. */
  take(parts: Buffer[], maxBytes: number): number {
    let bytes = 0;
    let count = 0;
    for (const frame of this.#frames) {
      if (count > 0 && bytes + frame.length > maxBytes) break;
      parts.push(frame);
      bytes += frame.length;
      count += 1;
    }
    if (count === 0) return 0;
    this.#frames.splice(0, count);
    this.#add(-bytes);
    return bytes;
  }

  clear(): void {
    this.#frames = [];
    this.#add(-this.#bytes);
  }

  #add(bytes: number): void {
    this.#bytes += bytes;
    this.#memory.add(bytes);
  }
}
