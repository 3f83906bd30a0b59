/** Which lock is held for how long, who waits for it, and because of whom. */
import { deadlockedTasks, lockBlocked, lockHoldP99 } from '../expressions.js';
import { COLOUR, graph, heatmap, type Panel } from '../panels.js';
import { heat, max, PANEL, quantile, rate, select, sum } from '../promql.js';
import { THRESHOLDS } from '../thresholds.js';

export const locks: readonly Panel[] = [
  graph({
    id: 301,
    title: 'Hold time p99',
    width: 6,
    unit: 's',
    logarithmic: true,
    threshold: THRESHOLDS.lockHoldP99Seconds,
    targets: [{ expr: lockHoldP99(PANEL), legend: '{{lock}}' }],
    about: {
      means: 'How long each lock is held: 99 of 100 holds are shorter. Logarithmic.',
      normal:
        'room.members in microseconds: its sections never wait. room.lifecycle spans the broker.',
      act: 'see Who makes others wait for the place in the code, and the log for long-hold reports.',
      runbook: 'RoomcastLockHeldTooLong',
    },
  }),
  graph({
    id: 302,
    title: 'Hold time of $lock',
    width: 6,
    unit: 's',
    logarithmic: true,
    targets: [0.5, 0.99, 0.999].map((q) => ({
      expr: quantile(PANEL, q, 'lockHoldSeconds', { where: ['lock=~"$lock"'] }),
      legend: `p${q * 100}`,
    })),
    about: {
      means: 'The lock chosen above, in three quantiles.',
      normal: 'close together.',
      act: 'a p99.9 that leaves the others is a rare, long section: garbage collection, or a broker that answers late.',
      runbook: 'RoomcastLockHeldTooLong',
    },
  }),
  heatmap({
    id: 303,
    title: 'Holds of $lock',
    width: 6,
    unit: 's',
    targets: [
      { expr: heat(PANEL, 'lockHoldSeconds', { where: ['lock=~"$lock"'] }), legend: '{{le}}' },
    ],
    about: {
      means: 'How many holds of the lock chosen above took how long: darker is more.',
      normal: 'one band.',
      act: 'for a second band, see when it began: a broker that answers late makes one for room.lifecycle.',
      runbook: 'RoomcastLockHeldTooLong',
    },
  }),
  graph({
    id: 304,
    title: 'Wait for locks p99',
    width: 6,
    unit: 's',
    logarithmic: true,
    targets: [
      {
        expr: quantile(PANEL, 0.99, 'lockWaitSeconds', { by: ['lock', 'mode'] }),
        legend: '{{lock}} {{mode}}',
      },
    ],
    about: {
      means: 'How long it takes to get each lock, those had at once included. Logarithmic.',
      normal: 'the lowest bucket.',
      act: 'joins wait for room.lifecycle: if it rises, look at the broker.',
      runbook: 'RoomcastLockHeldTooLong',
    },
  }),
  graph({
    id: 305,
    title: 'Time lost to locks',
    width: 6,
    unit: 'percentunit',
    threshold: THRESHOLDS.lockBlocked,
    targets: [{ expr: lockBlocked(PANEL), legend: '{{lock}}' }],
    about: {
      means:
        'Time that others waited a second for whoever held each lock: 100 % is one that waits all the time. How long a lock is held does not matter while nobody waits.',
      normal: 'below 1 %.',
      act: 'Who makes others wait names the place in the code: shorten what it does, or spread the work over more rooms.',
      runbook: 'RoomcastLockSaturated',
    },
  }),
  graph({
    id: 306,
    title: 'Who makes others wait',
    width: 6,
    unit: 'percentunit',
    targets: [
      {
        expr: `topk(5, ${sum(PANEL, ['lock', 'site'], rate(PANEL, 'lockBlockedSeconds'))})`,
        legend: '{{lock}} at {{site}}',
      },
    ],
    about: {
      means:
        'Time that others lost a second, charged to the place in the code that held the lock: the worst five.',
      normal: 'near 0 %.',
      act: 'the site is the name of a method; look at what it does while it holds.',
      runbook: 'RoomcastLockHeldTooLong',
    },
  }),
  graph({
    id: 307,
    title: 'Acquisitions',
    width: 6,
    unit: 'ops',
    stacked: true,
    targets: [
      { expr: sum(PANEL, ['result'], rate(PANEL, 'lockAcquisitions')), legend: '{{result}}' },
    ],
    about: {
      means: 'Requests for locks a second, by how they ended.',
      normal: 'nearly all immediate. aborted and closed belong to a shutdown.',
      act: 'timeout: the broker does not answer. deadlock: see the log.',
      runbook: 'RoomcastLockSaturated',
    },
  }),
  graph({
    id: 308,
    title: 'Oldest hold and wait, now',
    width: 6,
    unit: 's',
    colours: { deadlocked: COLOUR.loss },
    right: { legend: 'deadlocked tasks', unit: 'short' },
    targets: [
      {
        expr: max(PANEL, ['lock'], select(PANEL, 'lockOldestHoldSeconds')),
        legend: 'held {{lock}}',
      },
      {
        expr: max(PANEL, ['lock'], select(PANEL, 'lockOldestWaitSeconds')),
        legend: 'waits {{lock}}',
      },
      { expr: deadlockedTasks(PANEL), legend: 'deadlocked tasks' },
    ],
    about: {
      means:
        'Age of the longest hold and of the longest wait at this moment: what histograms show only when it is over.',
      normal: '0 s.',
      act: 'a line that climbs at 1 s a second is a lock that nobody gives back: the log names holder and waiters.',
      runbook: 'RoomcastDeadlock',
    },
  }),
];
