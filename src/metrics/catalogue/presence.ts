/** Metrics of presence, in the rooms that have it. */
import { PRESENCE_CHANGES, PRESENCE_FRAMES } from '../../room/observer.js';
import type { Metric } from './metric.js';

export const presence = {
  presenceRooms: {
    name: 'roomcast_presence_rooms',
    type: 'gauge',
    unit: 'rooms',
    labels: {},
    help: 'Rooms with presence tracking.',
  },
  presenceUsers: {
    name: 'roomcast_presence_users',
    type: 'gauge',
    unit: 'users',
    labels: {},
    help: 'Users in those rooms, counted once per room, including those that linger.',
  },
  presenceLingering: {
    name: 'roomcast_presence_lingering',
    type: 'gauge',
    unit: 'users',
    labels: {},
    help: 'Users among them whose last connection has ended and whose linger time is running (--presence-linger-ms).',
  },
  presenceWatchers: {
    name: 'roomcast_presence_watchers',
    type: 'gauge',
    unit: 'members',
    labels: {},
    help: 'Members that watch the presence of a room, counted once per room.',
  },
  presenceChanges: {
    name: 'roomcast_presence_changes_total',
    type: 'counter',
    unit: 'changes',
    labels: { kind: PRESENCE_CHANGES },
    help: 'Presence changes of users in rooms. returned: the user came back before the departure was announced.',
  },
  presenceFrames: {
    name: 'roomcast_presence_frames_total',
    type: 'counter',
    unit: 'frames',
    labels: { kind: PRESENCE_FRAMES },
    help: 'Presence frames sent to watchers: a page of the list, a difference to the previous state, or numbers alone.',
  },
  presenceBytes: {
    name: 'roomcast_presence_bytes_total',
    type: 'counter',
    unit: 'bytes',
    labels: {},
    help: 'Bytes of presence frames; roomcast_sent_bytes_total includes them once the kernel has them.',
  },
} as const satisfies Record<string, Metric>;
