/** Overview: whether all members are served and whether any are affected. */
import { ALERTS } from '../alerts.js';
import {
  drops,
  healthyP99,
  lockHoldP99,
  members,
  queueRatio,
  slowMembers,
} from '../expressions.js';
import { badFrom, goodFrom, type Panel, stat } from '../panels.js';
import { PANEL, rate, sum } from '../promql.js';
import { THRESHOLDS } from '../thresholds.js';

const WIDTH = 3;
const firing = `ALERTS{${[...PANEL.matchers, 'alertname=~"Roomcast.+"', 'alertstate="firing"'].join(', ')}}`;

export const health: readonly Panel[] = [
  stat({
    id: 101,
    title: 'Members',
    width: WIDTH,
    unit: 'short',
    decimals: 0,
    targets: [{ expr: members(PANEL), legend: 'members' }],
    about: {
      means: 'Members connected, over all transports.',
      normal:
        'follows the daily pattern of your users; a sudden drop is a network, a deploy or a proxy.',
      act: 'after a sudden drop, see the reasons in the row Connections.',
      runbook: 'RoomcastConnectionChurn',
    },
  }),
  stat({
    id: 102,
    title: 'Slow members',
    width: WIDTH,
    unit: 'short',
    decimals: 0,
    targets: [{ expr: slowMembers(PANEL), legend: 'slow' }],
    about: {
      means:
        'Members that are not healthy: they lag or lose messages. They must not affect others.',
      normal: `a few at all times, such as phones in tunnels. Below ${THRESHOLDS.slowMemberRatio * 100} % of all members.`,
      act: 'find them in Furthest behind, in the row Members.',
      runbook: 'RoomcastSlowMemberRatioHigh',
    },
  }),
  stat({
    id: 103,
    title: 'Healthy p99',
    width: WIDTH,
    unit: 's',
    targets: [{ expr: healthyP99(PANEL), legend: 'healthy p99' }],
    steps: badFrom(THRESHOLDS.healthyP99Seconds),
    about: {
      means: 'Time from the publish until the kernel accepts the write to a healthy member, p99.',
      normal: 'a few milliseconds, whatever the number of slow members.',
      act: 'if it rises with Slow members, isolation is broken; otherwise check the event loop and the locks.',
      runbook: 'RoomcastIsolationBroken',
    },
  }),
  stat({
    id: 104,
    title: 'Deliveries',
    width: WIDTH,
    unit: 'ops',
    targets: [{ expr: sum(PANEL, [], rate(PANEL, 'delivered')), legend: 'delivered' }],
    about: {
      means: 'Messages handed to the kernel per second, counted per member.',
      normal: 'publishes times the members of their rooms.',
      act: 'if it falls while publishes do not, see Drops and Slow members.',
      runbook: 'RoomcastDropsHigh',
    },
  }),
  stat({
    id: 105,
    title: 'Drops',
    width: WIDTH,
    unit: 'ops',
    targets: [{ expr: drops(PANEL), legend: 'dropped' }],
    about: {
      means:
        'Messages dropped per second from the queues of slow members, which get gaps for them.',
      normal: `0, or below ${THRESHOLDS.dropRatio * 100} % of the messages fanned out.`,
      act: 'see which policy drops, in the row Loss.',
      runbook: 'RoomcastDropsHigh',
    },
  }),
  stat({
    id: 106,
    title: 'Worst lock hold p99',
    width: WIDTH,
    unit: 's',
    targets: [{ expr: `max(${lockHoldP99(PANEL)})`, legend: 'hold p99' }],
    steps: badFrom(THRESHOLDS.lockHoldP99Seconds),
    about: {
      means: 'p99 of the hold time, for the lock with the highest.',
      normal: 'microseconds for room.members; the broker latency for room.lifecycle.',
      act: 'see which lock it is, and who blocks others, in the row Locks.',
      runbook: 'RoomcastLockHeldTooLong',
    },
  }),
  stat({
    id: 107,
    title: 'Queue headroom',
    width: WIDTH,
    unit: 'percentunit',
    decimals: 0,
    targets: [{ expr: `1 - (${queueRatio(PANEL)})`, legend: 'free' }],
    steps: goodFrom(1 - THRESHOLDS.queueMemoryRatio),
    about: {
      means: 'Free share of --queue-bytes-total, on the fullest server.',
      normal: 'close to 100 %.',
      act: 'see Largest queues, in the row Members. At 0 % the members stalled longest are evicted.',
      runbook: 'RoomcastQueueMemoryHigh',
    },
  }),
  stat({
    id: 108,
    title: 'Firing alerts',
    width: WIDTH,
    unit: 'short',
    decimals: 0,
    targets: [{ expr: `count(${firing}) or vector(0)`, legend: 'firing' }],
    steps: badFrom(1),
    about: {
      means: `Number of firing alerts, of the ${ALERTS.length} that roomcast has.`,
      normal: '0.',
      act: 'open the alert: it links to its section of the runbook.',
      runbook: 'RoomcastDown',
    },
  }),
];
