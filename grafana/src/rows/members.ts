/** How far behind members are: all of them as a distribution, the worst by rank. */
import { graph, heatmap, type Panel, table } from '../panels.js';
import { PANEL, quantile, select } from '../promql.js';

const RANK =
  'The rank is not a member: its members change. Names are not in metrics; ask the server.';

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
      means:
        'How many members are how far behind: the age of the oldest message they have not had.',
      normal: 'all in the lowest row. A wedge that climbs is members that stand still.',
      act: 'see Furthest behind for who they are.',
      runbook: 'RoomcastSlowMemberRatioHigh',
    },
  }),
  table({
    id: 402,
    title: 'Furthest behind',
    width: 6,
    unit: 's',
    value: 'Lag',
    more: { title: 'Who they are', path: '/v1/members?sort=lag' },
    targets: [
      {
        expr: `topk(10, sum by (instance, rank) (${select(PANEL, 'topMemberLagSeconds')}))`,
        legend: '{{rank}}',
      },
    ],
    about: {
      means: `Age of the oldest undelivered message of the ten members furthest behind. ${RANK}`,
      normal:
        '0 s, or seconds for a few; a member that takes not a byte is evicted after --stall-after-ms (30 s).',
      act: 'follow the link of this panel: GET /v1/members?sort=lag tells who they are.',
      runbook: 'RoomcastSlowMemberRatioHigh',
    },
  }),
  table({
    id: 403,
    title: 'Largest queues',
    width: 6,
    unit: 'bytes',
    value: 'Queued',
    more: { title: 'Who they are', path: '/v1/members?sort=queue' },
    targets: [
      {
        expr: `topk(10, sum by (instance, rank) (${select(PANEL, 'topMemberQueueBytes')}))`,
        legend: '{{rank}}',
      },
    ],
    about: {
      means: `Bytes queued for the ten members that have most. ${RANK}`,
      normal:
        '0 B; never above --queue-bytes (1 MiB). Messages are shared, so that the sum says nothing about memory.',
      act: 'follow the link of this panel: GET /v1/members?sort=queue tells who they are.',
      runbook: 'RoomcastQueueMemoryHigh',
    },
  }),
  graph({
    id: 404,
    title: 'Round trip of heartbeats p99',
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
        'From a heartbeat until its answer, by transport: the network of your members, and their patience.',
      normal: 'what the network takes. Nothing on transports that have no heartbeat of their own.',
      act: 'if one transport rises alone, look at its proxies; if all do, at the event loop.',
      runbook: 'RoomcastEventLoopLag',
    },
  }),
];
