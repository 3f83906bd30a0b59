/** Connections opened and closed, and the reasons. */
import { churnRatio, connectionRatio, roomRatio } from '../expressions.js';
import { graph, type Panel } from '../panels.js';
import { PANEL, rate, select, sum } from '../promql.js';
import { THRESHOLDS } from '../thresholds.js';

export const connections: readonly Panel[] = [
  graph({
    id: 701,
    title: 'Members by transport',
    width: 5,
    unit: 'short',
    stacked: true,
    targets: [
      { expr: sum(PANEL, ['transport'], select(PANEL, 'members')), legend: '{{transport}}' },
    ],
    about: {
      means: 'Members connected, by transport.',
      normal: 'nearly all on websocket; the others are behind proxies that allow nothing better.',
      act: 'if polling grows, a proxy on the path has stopped passing WebSocket.',
      runbook: 'RoomcastConnectionChurn',
    },
  }),
  graph({
    id: 702,
    title: 'Opened and closed',
    width: 5,
    unit: 'ops',
    targets: [
      { expr: sum(PANEL, [], rate(PANEL, 'opened')), legend: 'opened' },
      { expr: sum(PANEL, [], rate(PANEL, 'closed')), legend: 'closed' },
    ],
    about: {
      means: 'Connections opened and closed per second.',
      normal: 'few compared with the members, about as many opened as closed.',
      act: 'if both are high, clients reconnect in a loop: see Close reasons.',
      runbook: 'RoomcastConnectionChurn',
    },
  }),
  graph({
    id: 703,
    title: 'Close reasons',
    width: 5,
    unit: 'ops',
    stacked: true,
    targets: [{ expr: sum(PANEL, ['reason'], rate(PANEL, 'closed')), legend: '{{reason}}' }],
    about: {
      means:
        "Why connections ended: the server's reason; client for a close by the client; lost without a close.",
      normal: 'client and lost.',
      act: 'the close codes in the README explain each reason and whether clients reconnect.',
      runbook: 'RoomcastEvictionsHigh',
    },
  }),
  graph({
    id: 704,
    title: 'Churn',
    width: 4,
    unit: 'percentunit',
    threshold: THRESHOLDS.churnRatio,
    targets: [{ expr: churnRatio(PANEL), legend: 'of members per second' }],
    about: {
      means: 'Connections opened and closed per second, as a share of the members.',
      normal: `below ${THRESHOLDS.churnRatio * 100} %. Up to ${THRESHOLDS.fewConnections} per second it does not alert.`,
      act: 'find the reason in Close reasons.',
      runbook: 'RoomcastConnectionChurn',
    },
  }),
  graph({
    id: 705,
    title: 'Limit usage',
    width: 5,
    unit: 'percentunit',
    threshold: THRESHOLDS.fullRatio,
    targets: [
      { expr: connectionRatio(PANEL), legend: 'members' },
      { expr: roomRatio(PANEL), legend: 'rooms' },
    ],
    about: {
      means: 'Members and rooms as a share of their limits (--max-connections, --max-rooms).',
      normal: `below ${THRESHOLDS.fullRatio * 100} %.`,
      act: 'raise the limit if memory and file descriptors allow it, or add a server.',
      runbook: 'RoomcastAlmostFull',
    },
  }),
];
