/** One glance: is everybody served, and is anybody hurt. */
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
      normal: 'follows the day of your users; a cliff is a network, a deploy or a proxy.',
      act: 'at a cliff, see the reasons in the row Connections.',
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
      means: 'Members that are not healthy: they lag, or lose messages. Others must not notice.',
      normal: `some, always: phones in tunnels. Below ${THRESHOLDS.slowMemberRatio * 100} % of all members.`,
      act: 'see who they are: Furthest behind, in the row Members.',
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
      means:
        'From a publish until the kernel had it for a healthy member, for 99 of 100 deliveries.',
      normal: 'a few milliseconds, whatever the number of slow members.',
      act: 'if it rises with Slow members, isolation is broken; if alone, look at the event loop and the locks.',
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
      means: 'Messages handed to the kernel a second, one for each member that gets it.',
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
      means: 'Messages dropped a second from the queues of slow members, who are told with a gap.',
      normal: `0, or below ${THRESHOLDS.dropRatio * 100} % of what is fanned out.`,
      act: 'see the policy that drops, in the row Loss.',
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
      means: 'Of the lock that is held longest: 99 of 100 holds are shorter.',
      normal: 'microseconds for room.members; room.lifecycle as long as your broker answers.',
      act: 'see which lock, and who makes others wait, in the row Locks.',
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
      means: 'How much of --queue-bytes-total is free, on the fullest server.',
      normal: 'close to 100 %.',
      act: 'find who has most queued: Largest queues, in the row Members. At 0 % the longest stalled are evicted.',
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
      means: `How many of the ${ALERTS.length} alerts of roomcast fire.`,
      normal: '0.',
      act: 'open the alert: it links to its section of the runbook.',
      runbook: 'RoomcastDown',
    },
  }),
];
