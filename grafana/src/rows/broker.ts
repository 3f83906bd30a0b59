/** The broker, Redis and the workers. */
import { brokerLag, meshQueueBytes, missingWorkers } from '../expressions.js';
import { COLOUR, graph, type Panel } from '../panels.js';
import { PANEL, PANEL_BY_INSTANCE, quantile, rate, select, sum } from '../promql.js';
import { THRESHOLDS } from '../thresholds.js';

export const broker: readonly Panel[] = [
  graph({
    id: 1101,
    title: 'Broker state',
    width: 6,
    unit: 'short',
    stacked: true,
    colours: { up: COLOUR.good, suspended: COLOUR.slow, down: COLOUR.loss },
    targets: [{ expr: sum(PANEL, ['state'], select(PANEL, 'brokerState')), legend: '{{state}}' }],
    about: {
      means: 'Processes by the state of their broker.',
      normal: 'all up.',
      act: 'suspended: those processes cannot reach the broker; members stay connected but receive nothing new.',
      runbook: 'RoomcastBrokerSuspended',
    },
  }),
  graph({
    id: 1102,
    title: 'Broker latency p99',
    width: 6,
    unit: 's',
    logarithmic: true,
    targets: [
      { expr: quantile(PANEL, 0.99, 'brokerCallSeconds', { by: ['call'] }), legend: '{{call}}' },
    ],
    about: {
      means: 'Duration of broker calls that were not answered at once.',
      normal: 'the round trip to the broker, some milliseconds. No line with the in-memory broker.',
      act: 'high for all calls: the broker or the network is slow. High for publish only: the broker is overloaded.',
      runbook: 'RoomcastBrokerLag',
    },
  }),
  graph({
    id: 1103,
    title: 'Lost, uncertain, reset',
    width: 6,
    unit: 'ops',
    colours: { lost: COLOUR.loss },
    targets: [
      { expr: sum(PANEL, [], rate(PANEL, 'brokerLost')), legend: 'lost' },
      { expr: sum(PANEL, [], rate(PANEL, 'brokerUncertain')), legend: 'uncertain' },
      { expr: sum(PANEL, [], rate(PANEL, 'brokerResets')), legend: 'resets' },
    ],
    about: {
      means:
        'Per second: messages that the broker lost, publishes with an unknown result, and rooms whose epoch changed.',
      normal: '0.',
      act: 'the log shows when the broker was lost and reached again; members got gap and reset.',
      runbook: 'RoomcastBrokerLost',
    },
  }),
  graph({
    id: 1104,
    title: 'Redis lag',
    width: 6,
    unit: 's',
    threshold: THRESHOLDS.brokerLagSeconds,
    targets: [{ expr: brokerLag(PANEL_BY_INSTANCE), legend: '{{instance}}' }],
    about: {
      means: 'Round trip of a message through Redis, by server.',
      normal: 'some milliseconds. 0 with another broker, and while there is no link.',
      act: 'high at all servers: Redis is overloaded. At one: that server, or its network to Redis.',
      runbook: 'RoomcastBrokerLag',
    },
  }),
  graph({
    id: 1105,
    title: 'Waiting for Redis',
    width: 6,
    unit: 'short',
    logarithmic: true,
    targets: [
      { expr: sum(PANEL, [], select(PANEL, 'redisUnsettled')), legend: 'messages' },
      { expr: sum(PANEL, [], select(PANEL, 'redisUnsettledMax')), legend: 'limit' },
    ],
    about: {
      means: 'Messages that Redis has not confirmed, and the limit.',
      normal: 'a small part. Both 0 with another broker.',
      act: 'at the limit publishes are refused with room_busy: Redis does not keep up.',
      runbook: 'RoomcastBrokerBacklog',
    },
  }),
  graph({
    id: 1106,
    title: 'Bytes waiting for Redis',
    width: 6,
    unit: 'bytes',
    logarithmic: true,
    targets: [
      { expr: sum(PANEL, [], select(PANEL, 'redisUnsettledBytes')), legend: 'bytes' },
      { expr: sum(PANEL, [], select(PANEL, 'redisUnsettledLimitBytes')), legend: 'limit' },
    ],
    about: {
      means: 'Bytes of the messages that Redis has not confirmed, and the limit.',
      normal: 'a small part. Both 0 with another broker.',
      act: 'at the limit publishes are refused with room_busy: Redis does not keep up.',
      runbook: 'RoomcastBrokerBacklog',
    },
  }),
  graph({
    id: 1107,
    title: 'Redis reconnects and backfill',
    width: 6,
    unit: 'ops',
    targets: [
      { expr: sum(PANEL, [], rate(PANEL, 'redisLinks')), legend: 'links opened' },
      {
        expr: sum(PANEL, [], rate(PANEL, 'redisBackfilled')),
        legend: 'messages read from the log',
      },
      { expr: sum(PANEL, [], rate(PANEL, 'redisDuplicates')), legend: 'duplicates skipped' },
      { expr: sum(PANEL, [], rate(PANEL, 'redisUnreadable')), legend: 'unreadable' },
    ],
    about: {
      means:
        'Per second: links to Redis opened, messages read from its log after a reconnect, duplicate deliveries skipped, and entries that roomcast cannot read.',
      normal: '0, except for one link at the start.',
      act: 'repeated links: docs/redis.md explains what disconnects a subscriber. unreadable: another application uses the same --cluster-name.',
      runbook: 'RoomcastBrokerSuspended',
    },
  }),
  graph({
    id: 1108,
    title: 'Suspended rooms',
    width: 6,
    unit: 'short',
    targets: [
      {
        expr: sum(PANEL_BY_INSTANCE, [], select(PANEL_BY_INSTANCE, 'redisSuspendedRooms')),
        legend: '{{instance}}',
      },
    ],
    about: {
      means: 'Rooms whose deliveries are held until the messages before them are known or read.',
      normal: '0; all rooms for a moment after a reconnect.',
      act: 'if it stays, Redis answers reads slowly: see Broker latency p99.',
      runbook: 'RoomcastBrokerSuspended',
    },
  }),
  graph({
    id: 1109,
    title: 'Workers',
    width: 8,
    unit: 'short',
    targets: [
      {
        expr: sum(PANEL_BY_INSTANCE, [], select(PANEL_BY_INSTANCE, 'workers')),
        legend: '{{instance}}',
      },
      { expr: sum(PANEL, [], select(PANEL, 'workersStale')), legend: 'not answering' },
      { expr: missingWorkers(PANEL), legend: 'missing' },
      { expr: sum(PANEL, [], rate(PANEL, 'workerRestarts')), legend: 'restarts per second' },
    ],
    about: {
      means:
        'Serving processes by server; workers that did not answer a scrape, or are missing; restarts.',
      normal: '--workers, and one more during a replacement. 1 without workers.',
      act: 'a worker that does not answer is blocked; it is killed after --worker-stall-ms.',
      runbook: 'RoomcastWorkerStale',
    },
  }),
  graph({
    id: 1110,
    title: 'Links between workers',
    width: 8,
    unit: 'bytes',
    targets: [
      {
        expr: meshQueueBytes(PANEL_BY_INSTANCE),
        legend: '{{instance}}',
      },
    ],
    threshold: THRESHOLDS.meshQueueBytes,
    about: {
      means: 'Bytes queued on the links between workers; each link holds at most 8 MiB.',
      normal: 'near 0. 0 with a single process.',
      act: 'a worker does not read: see Workers, and Event loop lag.',
      runbook: 'RoomcastMeshBacklog',
    },
  }),
  graph({
    id: 1111,
    title: 'Lost between workers',
    width: 8,
    unit: 'ops',
    targets: [
      { expr: sum(PANEL, [], rate(PANEL, 'meshLost')), legend: 'messages not sent' },
      { expr: sum(PANEL, [], rate(PANEL, 'surveysMissing')), legend: 'answers missing' },
    ],
    about: {
      means:
        'Per second: messages not sent to a worker because it does not read, and requests it did not answer in time.',
      normal: '0.',
      act: 'members of that worker got a gap with the reason node.',
      runbook: 'RoomcastMeshLosing',
    },
  }),
];
