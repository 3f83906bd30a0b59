/** Who comes, who goes, and why. */
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
      act: 'if polling grows, a proxy on the way has stopped to let WebSocket pass.',
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
      means: 'Connections a second that were opened, and that ended.',
      normal: 'few of the members, about as many in as out.',
      act: 'if both are high, clients reconnect in a loop: see why in Reasons of closing.',
      runbook: 'RoomcastConnectionChurn',
    },
  }),
  graph({
    id: 703,
    title: 'Reasons of closing',
    width: 5,
    unit: 'ops',
    stacked: true,
    targets: [{ expr: sum(PANEL, ['reason'], rate(PANEL, 'closed')), legend: '{{reason}}' }],
    about: {
      means:
        'Why connections ended: a reason of the server, client for a proper close, lost for none.',
      normal: 'client and lost.',
      act: 'the close codes of the README say what each reason means and whether clients come back.',
      runbook: 'RoomcastEvictionsHigh',
    },
  }),
  graph({
    id: 704,
    title: 'Churn',
    width: 4,
    unit: 'percentunit',
    threshold: THRESHOLDS.churnRatio,
    targets: [{ expr: churnRatio(PANEL), legend: 'of members a second' }],
    about: {
      means: 'Connections opened and closed a second, as a share of the members.',
      normal: `below ${THRESHOLDS.churnRatio * 100} %. Up to ${THRESHOLDS.fewConnections} a second it does not alert.`,
      act: 'find the reason in Reasons of closing.',
      runbook: 'RoomcastConnectionChurn',
    },
  }),
  graph({
    id: 705,
    title: 'Share of the limits',
    width: 5,
    unit: 'percentunit',
    threshold: THRESHOLDS.fullRatio,
    targets: [
      { expr: connectionRatio(PANEL), legend: 'members' },
      { expr: roomRatio(PANEL), legend: 'rooms' },
    ],
    about: {
      means: 'Members and rooms, of those there may be (--max-connections, --max-rooms).',
      normal: `below ${THRESHOLDS.fullRatio * 100} %.`,
      act: 'raise the limit, with memory and descriptors to spare, or add a server.',
      runbook: 'RoomcastAlmostFull',
    },
  }),
];
