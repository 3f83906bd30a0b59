/**
 * Who is in a room, by user: a list that the server tells in full once, then by what has changed. A
 * change is taken only where it follows what is known; where it does not, the list is asked for again,
 * by a leave and a join at the position there is.
 *
 * A subpath of the package, so that who does not need it does not load it.
 */
import { emitter } from './emitter.js';
import { RoomcastError } from './errors.js';
import type { Handle } from './room.js';
import type { Presence, PresenceEvents, Room } from './types.js';
import type { Frame, Present } from './wire.js';

/** The same for the same room. */
const all = new WeakMap<object, Presence>();

/**
 * Watches who is in a room, from the next join on; a room that is joined is joined again for it. What
 * is known stays while the connection is lost, and is gone when the room is left.
 *
 * Where the server, or the namespace, has no presence, the join is refused with `not_enabled`; a server
 * that does not know of it is told as the error `not_offered` of the client. Where a new token does not
 * allow it any more, the list is empty and `mode` null; to watch again, call this again.
 */
export function presence<T>(room: Room<T>): Presence {
  const handle = room as unknown as Handle;
  const before = all.get(handle);
  if (before) return before;
  const { shared } = handle;
  const { on, emit, offAll } = emitter<PresenceEvents>(shared.fail);
  let users = new Map<string, Present>();
  /** Pages of a list that is not complete. */
  let pages = new Map<string, Present>();
  let pagesRev = -1;
  /** Of what is known; -1 while a list is due. */
  let rev = -1;
  let mode: Presence['mode'] = null;
  let counts: Presence['counts'] = null;
  let wasTold = false;

  const self: Presence = {
    on,
    get users() {
      return users;
    },
    get counts() {
      return counts;
    },
    get mode() {
      return mode;
    },
  };
  const changed = (): void => void emit('change', self);
  const clear = (): void => {
    rev = pagesRev = -1;
    users = new Map();
    mode = counts = null;
    changed();
  };
  const again = (): void => {
    rev = -1;
    const link = shared.usable();
    if (!link || handle.state !== 'joined') return;
    link.ask({ type: 'leave', room: handle.name });
    handle.lost();
    shared.rooms.add(handle);
  };
  handle.roster = (frame: Frame) => {
    if (frame.type === 'presence') {
      if (frame.mode === 'off') {
        // Asked for again, it would have the join refused.
        delete handle.roster;
        all.delete(handle);
        clear();
        return;
      }
      if (frame.mode === 'users') {
        if (pagesRev !== frame.rev) pages = new Map();
        pagesRev = frame.rev;
        for (const each of frame.users) pages.set(each.user, each);
        if (!frame.done) return;
      } else pages = new Map();
      users = pages;
      pages = new Map();
      pagesRev = -1;
      ({ mode, counts, rev } = frame);
      changed();
    } else if (frame.type === 'presence_diff' && rev >= 0) {
      if (frame.after !== rev) return again();
      users = new Map(users);
      for (const user of frame.left) users.delete(user);
      for (const each of frame.joined) users.set(each.user, each);
      ({ counts, rev } = frame);
      changed();
    }
  };
  room.on('joined', () => {
    // A list comes with each join.
    rev = pagesRev = -1;
    if (wasTold || shared.usable()?.welcome.features.includes('presence')) return;
    wasTold = true;
    shared.fail(new RoomcastError('not_offered', { room: handle.name, message: 'presence' }));
  });
  room.on('left', () => {
    clear();
    if (shared.closed) offAll();
  });
  all.set(handle, self);
  again();
  return self;
}
