/** What orders the messages, and the processes that share them. */
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
      act: 'suspended: the broker cannot be reached from there; members stay and hear nothing new.',
      runbook: 'RoomcastBrokerSuspended',
    },
  }),
  graph({
    id: 1102,
    title: 'Answer of the broker p99',
    width: 6,
    unit: 's',
    logarithmic: true,
    targets: [
      { expr: quantile(PANEL, 0.99, 'brokerCallSeconds', { by: ['call'] }), legend: '{{call}}' },
    ],
    about: {
      means: 'How long calls of the broker took that it did not answer at once.',
      normal: 'the way to it and back, some milliseconds. No line with the one in memory.',
      act: 'high for all calls: the broker or the network is slow. For publish alone: it has too much to do.',
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
        'Messages a second that the broker lost on the way to a room, publishes of which nobody knows, and rooms that went on in another numbering.',
      normal: '0.',
      act: 'the log says when the broker was lost and found again; members were told by gap and reset.',
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
      means: 'How long a message takes through Redis and back to the server that sent it.',
      normal: 'some milliseconds. 0 with another broker, and while there is no link.',
      act: 'at all servers: Redis has too much to do. At one: that server, or its way to Redis.',
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
      { expr: sum(PANEL, [], select(PANEL, 'redisUnsettledMax')), legend: 'there may be' },
    ],
    about: {
      means: 'Messages that Redis has not confirmed, and how many there may be.',
      normal: 'a small part. Both 0 with another broker.',
      act: 'at the bound publishes are refused with room_busy: Redis does not keep up.',
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
      { expr: sum(PANEL, [], select(PANEL, 'redisUnsettledLimitBytes')), legend: 'there may be' },
    ],
    about: {
      means: 'Bytes of the messages that Redis has not confirmed, and how many there may be.',
      normal: 'a small part. Both 0 with another broker.',
      act: 'at the bound publishes are refused with room_busy: Redis does not keep up.',
      runbook: 'RoomcastBrokerBacklog',
    },
  }),
  graph({
    id: 1107,
    title: 'Redis cuts and repairs',
    width: 6,
    unit: 'ops',
    targets: [
      { expr: sum(PANEL, [], rate(PANEL, 'redisLinks')), legend: 'links made' },
      {
        expr: sum(PANEL, [], rate(PANEL, 'redisBackfilled')),
        legend: 'messages read from the log',
      },
      { expr: sum(PANEL, [], rate(PANEL, 'redisDuplicates')), legend: 'duplicates left out' },
      { expr: sum(PANEL, [], rate(PANEL, 'redisUnreadable')), legend: 'not ours' },
    ],
    about: {
      means:
        'Links to Redis made a second, messages that were read from its log after a cut, deliveries that came twice, and what is not of our format.',
      normal: '0, but for one link at the start.',
      act: 'links again and again: docs/redis.md has what cuts a subscriber. not ours: something else uses --cluster-name.',
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
      means: 'Rooms whose deliveries are held back until what lies before them is known or read.',
      normal: '0; all rooms for a moment after a cut.',
      act: 'if it stays, Redis answers reads slowly: see Answer of the broker p99.',
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
      { expr: sum(PANEL, [], select(PANEL, 'workersStale')), legend: 'that do not answer' },
      { expr: missingWorkers(PANEL), legend: 'missing' },
      { expr: sum(PANEL, [], rate(PANEL, 'workerRestarts')), legend: 'restarts a second' },
    ],
    about: {
      means:
        'Processes that serve, by server; those that did not answer a scrape, or are not there; restarts.',
      normal: '--workers, one more while one is replaced. 1 without.',
      act: 'one that does not answer is blocked, and is killed after --worker-stall-ms.',
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
      means: 'Bytes that wait on the links from worker to worker; each may hold 8 MiB.',
      normal: 'near 0. 0 with one process.',
      act: 'a worker does not read: see Workers, and Event loop lag.',
      runbook: 'RoomcastMeshBacklog',
    },
  }),
  graph({
    id: 1111,
    title: 'Missed between workers',
    width: 8,
    unit: 'ops',
    targets: [
      { expr: sum(PANEL, [], rate(PANEL, 'meshLost')), legend: 'messages not sent' },
      { expr: sum(PANEL, [], rate(PANEL, 'surveysMissing')), legend: 'answers missing' },
    ],
    about: {
      means:
        'Messages a second that a worker was not sent since it did not read, and questions it did not answer in time.',
      normal: '0.',
      act: 'members of that worker were told by a gap with reason node.',
      runbook: 'RoomcastMeshLosing',
    },
  }),
];
