/** Hold and wait times of locks, and who blocks whom. */
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
      means: 'p99 of the hold time of each lock. Logarithmic.',
      normal:
        'microseconds for room.members, whose holders never wait. room.lifecycle includes the broker call.',
      act: 'see Blocking time by site for the place in the code, and the log for long-hold reports.',
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
      means: 'Three quantiles of the hold time of the lock selected above.',
      normal: 'close together.',
      act: 'a p99.9 far above the others is a rare, long section: garbage collection, or a slow broker.',
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
      means: 'Distribution of the hold times of the lock selected above: darker is more.',
      normal: 'one band.',
      act: 'for a second band, see when it began: a slow broker causes one for room.lifecycle.',
      runbook: 'RoomcastLockHeldTooLong',
    },
  }),
  graph({
    id: 304,
    title: 'Lock wait p99',
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
      means: 'How long tasks wait for each lock, including locks acquired at once. Logarithmic.',
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
        'Seconds per second that tasks wait for holders of each lock: 100 % is one task that waits all the time. How long a lock is held does not matter while no task waits.',
      normal: 'below 1 %.',
      act: 'Blocking time by site names the place in the code: shorten its section, or spread the work over more rooms.',
      runbook: 'RoomcastLockSaturated',
    },
  }),
  graph({
    id: 306,
    title: 'Blocking time by site',
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
        'Seconds per second that tasks wait, by the place in the code that holds the lock: the worst five.',
      normal: 'near 0 %.',
      act: 'the site is the name of a method; check what it does while it holds the lock.',
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
      means: 'Lock requests per second, by result.',
      normal: 'nearly all immediate. aborted and closed occur during a shutdown.',
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
        legend: 'waiting {{lock}}',
      },
      { expr: deadlockedTasks(PANEL), legend: 'deadlocked tasks' },
    ],
    about: {
      means:
        'Age of the longest current hold and of the longest current wait, which histograms show only once they end.',
      normal: '0 s.',
      act: 'a line that rises by 1 s per second is a lock that is never released: the log names holder and waiters.',
      runbook: 'RoomcastDeadlock',
    },
  }),
];
