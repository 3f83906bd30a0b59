/**
 * The rooms of a client: one handle a name, those that are to be joined, and the pace at which they
 * are, which is the server's.
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
   * How far a room is: null while its join has not been sent, '' until that is answered, then its
   * epoch; what no epoch is where it is not to be joined.
   */
  progress(name: string): string | null;
  /** Has it joined, now and at each connection. */
  add(room: Handle): void;
  dismiss(room: Handle): void;
  /** There is a connection: all of them join again. */
  rejoin(link: OpenLink): void;
  received(frame: Frame & { room: string }, size: number): void;
  lost(): void;
  /** There is another token: what was not allowed may be. */
  granted(): void;
  close(error: RoomcastError): void;
}

export function rooms(shared: Shared): Rooms {
  /** What nobody holds and nobody has joined may go. */
  const handles = new Map<string, WeakRef<Handle>>();
  /** To be in, the first that was joined first. */
  const wanted = new Map<string, Handle>();
  /** Whose join has not been sent. */
  let due = new Set<Handle>();
  /** How many may be now. */
  let allowed = 0;
  /** By a second. */
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
