/** One presence frame, encoded once per format and joined once per kind of member (V6). */
import type { Event } from '../protocol/events.js';
import { Batch } from './frame.js';
import type { PresenceFrame } from './observer.js';
import type { Outbox } from './outbox.js';

export type PresenceEvent = Exclude<
  Extract<Event, { type: 'presence' | 'presence_diff' }>,
  { mode: 'off' }
>;

export class Shown {
  readonly #event: PresenceEvent;
  /** By format index. */
  readonly #frames: Buffer[] = [];
  /** By kind of member. */
  readonly #batches: Batch[] = [];

  /** `to`: the position a watcher has reached after this frame. */
  constructor(
    event: PresenceEvent,
    readonly to: number,
  ) {
    this.#event = event;
  }

  get kind(): PresenceFrame {
    if (this.#event.type === 'presence_diff') return 'diff';
    return this.#event.mode === 'count' ? 'count' : 'list';
  }

  for({ format, kind, transport }: Outbox): Batch {
    const made = this.#batches[kind];
    if (made !== undefined) return made;
    const frame = this.#frames[format.index] ?? format.encode(this.#event);
    this.#frames[format.index] = frame;
    const batch = new Batch([], 0, transport.framing.join([frame], frame.length));
    this.#batches[kind] = batch;
    return batch;
  }
}
