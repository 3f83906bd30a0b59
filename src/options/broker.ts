/** Options of the broker: rooms in this process, or shared with other nodes through Redis. */
import { parseRedisUrl } from './redis-url.js';
import { choice, DAY, integer, secret, text } from './schema.js';

const BROKER = 'Broker';

export const broker = {
  broker: choice('memory', ['memory', 'redis'], {
    group: BROKER,
    unit: 'kind',
    description: 'Where rooms are kept: in this process, or in a Redis shared by several nodes.',
  }),
  redisUrl: secret(
    text(
      '',
      {
        minLength: 0,
        maxLength: 2048,
        is: (value) => value === '' || parseRedisUrl(value) !== null,
      },
      {
        group: BROKER,
        unit: 'address',
        description:
          'Address of the Redis primary, or of its Sentinels, with user and password if it needs them.',
        allowed:
          'an address like redis://user:password@redis.example:6379, rediss://redis.example or redis+sentinel://a:26379,b:26379/name, without a database number other than 0',
      },
    ),
  ),
  clusterName: text(
    'roomcast',
    { pattern: '^[A-Za-z0-9_.-]{1,64}$' },
    {
      group: BROKER,
      unit: 'name',
      description: 'Name of the cluster: all nodes with the same name share rooms.',
      allowed: 'a name of 1 to 64 letters, digits, _, . and -',
    },
  ),
  brokerTickMs: integer([2000, 100, 5000], {
    group: BROKER,
    unit: 'ms',
    description:
      'Time between two checks that Redis delivers; if two fail in a row, Redis counts as unreachable.',
  }),
  positionCheckMs: integer([60_000, 1000, DAY], {
    group: BROKER,
    unit: 'ms',
    description: 'Time between two checks whether Redis has undelivered messages of a room.',
  }),
  resumeRoomsPerSecond: integer([50_000, 100, 10_000_000], {
    group: BROKER,
    unit: 'per second',
    description: 'Maximum rooms of a node that resume after it has lost Redis.',
  }),
  idleRoomMs: integer([3_600_000, 60_000, 30 * DAY], {
    group: BROKER,
    unit: 'ms',
    description: 'How long Redis keeps the epoch and sequence number of an unused room.',
  }),
};
