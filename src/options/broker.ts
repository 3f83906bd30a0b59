/** Options of the broker: where the rooms are kept, alone or together with other nodes. */
import { parseRedisUrl } from './redis-url.js';
import { choice, DAY, integer, secret, text } from './schema.js';

const BROKER = 'Broker';

export const broker = {
  broker: choice('memory', ['memory', 'redis'], {
    group: BROKER,
    unit: 'kind',
    description: 'Where rooms are kept: in this process, or in a Redis that several nodes share.',
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
          'The primary of that Redis, or the Sentinels that know it, with user and password where it has them.',
        allowed:
          'an address like redis://user:password@redis.example:6379, rediss://redis.example or redis+sentinel://a:26379,b:26379/name',
      },
    ),
  ),
  clusterName: text(
    'roomcast',
    { pattern: '^[A-Za-z0-9_.-]{1,64}$' },
    {
      group: BROKER,
      unit: 'name',
      description: 'What all nodes that share rooms have in common.',
      allowed: 'a name of 1 to 64 letters, digits, _, . and -',
    },
  ),
  brokerTickMs: integer([2000, 100, 60_000], {
    group: BROKER,
    unit: 'ms',
    description: 'Between two proofs that Redis delivers; without two of them it is unreachable.',
  }),
  positionCheckMs: integer([60_000, 1000, DAY], {
    group: BROKER,
    unit: 'ms',
    description: 'Between two looks whether Redis has messages of a room that were not delivered.',
  }),
  resumeRoomsPerSecond: integer([50_000, 100, 10_000_000], {
    group: BROKER,
    unit: 'per second',
    description: 'How many rooms of a node come up again, at most, after it has lost Redis.',
  }),
  idleRoomMs: integer([3_600_000, 60_000, 30 * DAY], {
    group: BROKER,
    unit: 'ms',
    description: 'How long Redis remembers the numbers of a room that nobody uses.',
  }),
};
