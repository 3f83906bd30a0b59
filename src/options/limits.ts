/** Options that bound what a peer can make the server do or hold; V3 and V11 rest on them. */
import { isPattern } from './room-names.js';
import { DAY, integer, text } from './schema.js';

const LIMITS = 'Limits (0 switches off a rate or a count)';

export const limits = {
  maxConnections: integer([10_000, 0, 10_000_000], {
    group: LIMITS,
    unit: 'connections',
    zero: 'no limit',
    description: 'Connections in all.',
  }),
  maxConnectionsPerAddress: integer([0, 0, 10_000_000], {
    group: LIMITS,
    unit: 'connections',
    zero: 'no limit',
    description:
      'Connections of one address, in IPv6 of one /64 network; behind a proxy, set --trust-proxy as well.',
  }),
  maxMessageBytes: integer([65_536, 128, 16_777_216], {
    group: LIMITS,
    unit: 'bytes',
    description: 'Size of a publish frame, and of its data as sent to members.',
  }),
  maxCommandBytes: integer([4096, 128, 65_536], {
    group: LIMITS,
    unit: 'bytes',
    description: 'Size of a frame that joins, leaves or pings.',
  }),
  maxRoomsPerMember: integer([100, 0, 100_000], {
    group: LIMITS,
    unit: 'rooms',
    zero: 'no limit',
    description: 'Rooms that one member may have joined.',
  }),
  maxRooms: integer([200_000, 0, 10_000_000], {
    group: LIMITS,
    unit: 'rooms',
    zero: 'no limit',
    description: 'Rooms with members, in all; each takes 2 KB or more.',
  }),
  maxRoomNameLength: integer([200, 1, 1024], {
    group: LIMITS,
    unit: 'characters',
    description: "Length of a room's name.",
  }),
  roomNamePattern: text(
    '^[A-Za-z0-9_=@,.;:/+~-]+$',
    { maxLength: 1000, is: isPattern },
    {
      group: LIMITS,
      unit: 'pattern',
      description: 'Pattern that the whole name of a room must match.',
      allowed: 'a JavaScript regular expression with the flag u',
    },
  ),
  maxJsonDepth: integer([32, 1, 1000], {
    group: LIMITS,
    unit: 'levels',
    description: 'Nesting of the JSON in a frame.',
  }),
  publishRate: integer([100, 0, 1_000_000], {
    group: LIMITS,
    unit: 'per second',
    zero: 'no limit',
    description: 'Publishes of one member, in bursts of up to one second.',
  }),
  joinRate: integer([100, 0, 1_000_000], {
    group: LIMITS,
    unit: 'per second',
    zero: 'no limit',
    description: 'Joins of one member, in bursts of up to one second.',
  }),
  historyRate: integer([20, 0, 10_000], {
    group: LIMITS,
    unit: 'per second',
    zero: 'no limit',
    description: 'Requests of one member for history, in bursts of up to one second.',
  }),
  firstFrameMs: integer([10_000, 100, DAY], {
    group: LIMITS,
    unit: 'ms',
    description: 'Time within which a new connection must send its first frame.',
  }),
  maxBodyBytes: integer([16_777_216, 1024, 1_073_741_824], {
    group: LIMITS,
    unit: 'bytes',
    description: 'Size of a SockJS request body, which carries all messages a client has queued.',
  }),
  maxHttpBodyBytes: integer([1_048_576, 1024, 67_108_864], {
    group: LIMITS,
    unit: 'bytes',
    description: 'Size of a request body of the HTTP API.',
  }),
};
