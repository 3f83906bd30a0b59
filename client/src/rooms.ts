/**
 * The rooms of a client: one handle per name, the rooms to be joined, and the pace of joins, which the
 * server's `joinRate` sets.
 */

import type { RoomcastError } from './errors.js';
import type { OpenLink } from './link.js';
import { type Handle, room } from './room.js';
import type { Shared } from './shared.js';
import type { RoomOptions } from './types.js';
import { later, type Timer } from './wait.js';
import type { Frame } from './wire.js';

export interface Rooms {
  get(name: string, options?: RoomOptions<unknown>): Handle;
  /**
   * Progress of a room's join: null until the join is sent, '' until it is answered, then the room's
   * epoch. '-', which is no epoch, for a room that is not to be joined.
   */
  progress(name: string): string | null;
  /** Joins the room, now and on each connection. */
  add(room: Handle): void;
  dismiss(room: Handle): void;
  /** There is a new connection: rejoins all rooms. */
  rejoin(link: OpenLink): void;
  received(frame: Frame & { room: string }, size: number): void;
  lost(): void;
  /** The server accepted another token: retries the joins that were not allowed. */
  granted(): void;
  close(error: RoomcastError): void;
}

export function rooms(shared: Shared): Rooms {
  /** Weak, so that handles that the app has dropped and not joined can be collected. */
  const handles = new Map<string, WeakRef<Handle>>();
  /** Rooms the app has joined, in the order of the joins. */
  const wanted = new Map<string, Handle>();
  /** Rooms whose join has not been sent. */
  let due = new Set<Handle>();
  /** Joins allowed now. */
  let allowed = 0;
  /** Joins allowed per second. */
  let rate = 0;
  let timer: Timer | undefined;

  const pump = (): void => {
    const link = shared.usable();
    if (!link) return;
    for (const handle of due) {
      if (allowed < 1) break;
      allowed -= 1;
      due.delete(handle);
      handle.sendJoin(link);
    }
    if (allowed < rate) {
      timer ??= later(
        () => {
          timer = undefined;
          allowed += 1;
          pump();
        },
        Math.ceil(1000 / rate),
      );
    }
  };
  const self: Rooms = {
    get(name, options) {
      let handle = handles.get(name)?.deref();
      if (!handle) {
        for (const [gone, of] of handles) if (!of.deref()) handles.delete(gone);
        handle = room(name, shared, options);
        handles.set(name, new WeakRef(handle));
      }
      return handle;
    },
    progress(name) {
      const handle = wanted.get(name);
      return handle ? handle.progress() : '-';
    },
    add(handle) {
      wanted.set(handle.name, handle);
      due.add(handle);
      pump();
    },
    dismiss(handle) {
      wanted.delete(handle.name);
      due.delete(handle);
    },
    rejoin({ welcome }) {
      due = new Set(wanted.values());
      rate = welcome.limits['joinRate'] || 1 / 0;
      allowed = rate;
      pump();
    },
    received(frame, size) {
      wanted.get(frame.room)?.received(frame, size);
    },
    lost() {
      clearTimeout(timer);
      timer = undefined;
      for (const handle of wanted.values()) handle.lost();
    },
    granted() {
      for (const of of handles.values()) of.deref()?.granted();
    },
    close(error) {
      for (const of of handles.values()) of.deref()?.close(error);
    },
  };
  return self;
}
