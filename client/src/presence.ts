/**
 * Presence: the users in a room. The server sends the full list once, then changes. A change is applied
 * only if it follows the current revision; otherwise the room leaves and rejoins at its position to get
 * the list again.
 *
 * A subpath of the package, so that apps that do not need it do not load it.
 */
import { emitter } from './emitter.js';
import { RoomcastError } from './errors.js';
import type { Handle } from './room.js';
import type { Presence, PresenceEvents, Room } from './types.js';
import type { Frame, Present } from './wire.js';

/** One `Presence` per room handle. */
const all = new WeakMap<object, Presence>();

/**
 * Watches the users in a room, from the next join on. If the room is already joined, the client rejoins
 * it. The list stays while the connection is lost and is cleared when the app leaves the room.
 *
 * If the server or the namespace has presence switched off, the join is refused with `not_enabled`. If
 * the server is too old to have presence, the client emits a `not_offered` error. If a new token does
 * not allow presence, the list becomes empty and `mode` null; call `presence` again to resume.
 */
export function presence<T>(room: Room<T>): Presence {
  const handle = room as unknown as Handle;
  const before = all.get(handle);
  if (before) return before;
  const { shared } = handle;
  const { on, emit, offAll } = emitter<PresenceEvents>(shared.fail);
  let users = new Map<string, Present>();
  /** Users of a list of which pages are still to come. */
  let pages = new Map<string, Present>();
  let pagesRev = -1;
  /** Revision of the list; -1 while a list is awaited. */
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
        // Otherwise the next join would ask for presence and be refused.
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
    // The server sends a list with each join.
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
