/**
 * Remembers publications with a `uid` for `UID_MS`, so that a resent one is not published again. V3: at
 * most `MAX_UIDS`; past that the oldest are forgotten early.
 */
import { nowMs } from '../time.js';
import { type Position, UID_MS } from './broker.js';

const MAX_UIDS = 100_000;

export class Uids {
  /** By room and uid, oldest first. */
  readonly #known = new Map<string, { readonly position: Position; readonly at: number }>();

  /** The position of the publication with this uid, if there was one. */
  find(room: string, uid: string): Position | undefined {
    this.#forgetOld();
    return this.#known.get(keyOf(room, uid))?.position;
  }

  add(room: string, uid: string, position: Position): void {
    this.#known.set(keyOf(room, uid), { position, at: nowMs() });
    if (this.#known.size > MAX_UIDS) this.#forgetOldest();
  }

  clear(): void {
    this.#known.clear();
  }

  #forgetOld(): void {
    const before = nowMs() - UID_MS;
    for (const [key, { at }] of this.#known) {
      if (at >= before) return;
      this.#known.delete(key);
    }
  }

  #forgetOldest(): void {
    for (const key of this.#known.keys()) {
      this.#known.delete(key);
      return;
    }
  }
}

const keyOf = (room: string, uid: string): string => `${room.length}:${room}${uid}`;
