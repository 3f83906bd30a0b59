/** Who comes, who goes, and why. */
import { churnRatio } from '../expressions.js';
import { graph, type Panel } from '../panels.js';
import { PANEL, rate, select, sum } from '../promql.js';
import { THRESHOLDS } from '../thresholds.js';

export const connections: readonly Panel[] = [
  graph({
    id: 701,
    title: 'Members by transport',
    width: 6,
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
    width: 6,
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
    width: 6,
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
    width: 6,
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
];
