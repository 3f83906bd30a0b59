/** How far members are behind: the distribution over all, and the worst by rank. */
import { graph, heatmap, type Panel, table } from '../panels.js';
import { PANEL, quantile, select } from '../promql.js';

const RANK =
  'A rank is not a member: the member behind it changes. Metrics contain no ids; ask the server.';

export const members: readonly Panel[] = [
  heatmap({
    id: 401,
    title: 'Members by lag',
    width: 6,
    unit: 's',
    targets: [
      {
        expr: `sum by (le) (label_replace(${select(PANEL, 'membersLagAtMost')}, "le", "$1", "bound", "(.*)"))`,
        legend: '{{le}}',
      },
    ],
    about: {
      means: 'Distribution of members by lag: the age of their oldest undelivered message.',
      normal: 'all in the lowest row. A rising diagonal is members that have stalled.',
      act: 'see Furthest behind for their ids.',
      runbook: 'RoomcastSlowMemberRatioHigh',
    },
  }),
  table({
    id: 402,
    title: 'Furthest behind',
    width: 6,
    unit: 's',
    value: 'Lag',
    more: { title: 'List of members', path: '/v1/members?sort=lag' },
    targets: [
      {
        expr: `topk(10, sum by (instance, rank) (${select(PANEL, 'topMemberLagSeconds')}))`,
        legend: '{{rank}}',
      },
    ],
    about: {
      means: `Age of the oldest undelivered message of the ten members furthest behind. ${RANK}`,
      normal:
        '0 s, or seconds for a few; a member that reads no byte is evicted after --stall-after-ms (30 s).',
      act: 'follow the link of this panel: GET /v1/members?sort=lag lists their ids.',
      runbook: 'RoomcastSlowMemberRatioHigh',
    },
  }),
  table({
    id: 403,
    title: 'Largest queues',
    width: 6,
    unit: 'bytes',
    value: 'Queued',
    more: { title: 'List of members', path: '/v1/members?sort=queue' },
    targets: [
      {
        expr: `topk(10, sum by (instance, rank) (${select(PANEL, 'topMemberQueueBytes')}))`,
        legend: '{{rank}}',
      },
    ],
    about: {
      means: `Bytes queued for the ten members with the longest queues. ${RANK}`,
      normal:
        '0 B; never above --queue-bytes (1 MiB). Queues share messages, so their sum is not the memory used.',
      act: 'follow the link of this panel: GET /v1/members?sort=queue lists their ids.',
      runbook: 'RoomcastQueueMemoryHigh',
    },
  }),
  graph({
    id: 404,
    title: 'Heartbeat round trip p99',
    width: 6,
    unit: 's',
    targets: [
      {
        expr: quantile(PANEL, 0.99, 'memberRttSeconds', { by: ['transport'] }),
        legend: '{{transport}}',
      },
    ],
    about: {
      means:
        'Time from a heartbeat to its answer, by transport: the network latency of your members and the delay of their clients.',
      normal: 'the network latency. No line for transports without their own heartbeat.',
      act: 'if a single transport rises, check its proxies; if all do, the event loop.',
      runbook: 'RoomcastEventLoopLag',
    },
  }),
];
