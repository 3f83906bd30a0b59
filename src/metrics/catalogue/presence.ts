/** Metrics of who is in rooms, where that is told. */
import { PRESENCE_CHANGES, PRESENCE_FRAMES } from '../../room/observer.js';
import type { Metric } from './metric.js';

export const presence = {
  presenceRooms: {
    name: 'roomcast_presence_rooms',
    type: 'gauge',
    unit: 'rooms',
    labels: {},
    help: 'Rooms of which it is known who is in them.',
  },
  presenceUsers: {
    name: 'roomcast_presence_users',
    type: 'gauge',
    unit: 'users',
    labels: {},
    help: 'Users in those rooms, once for each room, with those who are waited for.',
  },
  presenceLingering: {
    name: 'roomcast_presence_lingering',
    type: 'gauge',
    unit: 'users',
    labels: {},
    help: 'Users of them whose last connection has ended and who are waited for (--presence-linger-ms).',
  },
  presenceWatchers: {
    name: 'roomcast_presence_watchers',
    type: 'gauge',
    unit: 'members',
    labels: {},
    help: 'Members that are told who is in a room, once for each room.',
  },
  presenceChanges: {
    name: 'roomcast_presence_changes_total',
    type: 'counter',
    unit: 'changes',
    labels: { kind: PRESENCE_CHANGES },
    help: 'What became of users in rooms; returned: before anybody was told that they had left.',
  },
  presenceFrames: {
    name: 'roomcast_presence_frames_total',
    type: 'counter',
    unit: 'frames',
    labels: { kind: PRESENCE_FRAMES },
    help: 'What watchers were told: a page of the list, a difference to what they knew, or numbers alone.',
  },
  presenceBytes: {
    name: 'roomcast_presence_bytes_total',
    type: 'counter',
    unit: 'bytes',
    labels: {},
    help: 'Bytes of it, which are in roomcast_sent_bytes_total too once the kernel has them.',
  },
} as const satisfies Record<string, Metric>;
