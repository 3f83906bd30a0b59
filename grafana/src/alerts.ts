/**
 * Every alert: when it fires, how bad that is, and what it says. `docs/runbook.md` has a section for
 * each; `test/grafana/rules/` shows each firing and not firing.
 *
 * Labels are fixed text: a value in a label would make a new alert of each value.
 */
import {
  accountingDifference,
  churnRatio,
  deadlockedTasks,
  dropRatio,
  eventLoopLagP99,
  evictionRatio,
  healthyP99,
  lockHoldP99,
  lockUtilisation,
  members,
  queueRatio,
  slowMembers,
  slowRatio,
} from './expressions.js';
import { runbookOfInstance } from './links.js';
import { ALERT } from './promql.js';
import { THRESHOLDS } from './thresholds.js';

export interface Alert {
  readonly name: `Roomcast${string}`;
  readonly severity: 'critical' | 'warning';
  /** What is judged, by job and instance. */
  readonly value: string;
  /** When the value is too much. */
  readonly is: string;
  /** What has to be the case besides, by job and instance. */
  readonly while?: string;
  /** How long it has to be so. */
  readonly for: string;
  /** The same text for every instance. */
  readonly summary: string;
  /** With what is the case, in the template language of Prometheus. */
  readonly description: string;
}

const manyMembers = `${members(ALERT)} > ${THRESHOLDS.fewMembers}`;

const seconds = '{{ $value | humanizeDuration }}';
const share = '{{ $value | humanizePercentage }}';

export const ALERTS: readonly Alert[] = [
  {
    name: 'RoomcastDown',
    severity: 'critical',
    value: 'up{job="roomcast"}',
    is: '== 0',
    for: '1m',
    summary: 'A roomcast server does not answer.',
    description: '{{ $labels.instance }} has not answered a scrape for a minute.',
  },
  {
    name: 'RoomcastIsolationBroken',
    severity: 'critical',
    value: healthyP99(ALERT),
    is: `> ${THRESHOLDS.healthyP99Seconds}`,
    while: `${slowMembers(ALERT)} > 0`,
    for: '5m',
    summary: 'Slow members make healthy ones wait.',
    description: `While members are slow, 99 % of deliveries to healthy members of {{ $labels.instance }} take up to ${seconds}.`,
  },
  {
    name: 'RoomcastDeadlock',
    severity: 'critical',
    value: deadlockedTasks(ALERT),
    is: '> 0',
    for: '0m',
    summary: 'Tasks wait for each other for ever.',
    description:
      '{{ $value }} tasks of {{ $labels.instance }} are deadlocked; roomcast locks, or GET /v1/locks, says which.',
  },
  {
    name: 'RoomcastLockHeldTooLong',
    severity: 'warning',
    value: lockHoldP99(ALERT),
    is: `> ${THRESHOLDS.lockHoldP99Seconds}`,
    for: '5m',
    summary: 'A lock is held for too long.',
    description: `99 % of the holds of {{ $labels.lock }} on {{ $labels.instance }} last up to ${seconds}.`,
  },
  {
    name: 'RoomcastLockSaturated',
    severity: 'critical',
    value: lockUtilisation(ALERT),
    is: `> ${THRESHOLDS.lockUtilisation}`,
    for: '5m',
    summary: 'A lock is held most of the time.',
    description: `{{ $labels.lock }} on {{ $labels.instance }} is held ${share} of the time.`,
  },
  {
    name: 'RoomcastQueueMemoryHigh',
    severity: 'warning',
    value: queueRatio(ALERT),
    is: `> ${THRESHOLDS.queueMemoryRatio}`,
    for: '5m',
    summary: 'The queues are close to the limit of their memory.',
    description: `The queues of {{ $labels.instance }} hold ${share} of --queue-bytes-total; at 100 % the longest stalled members are evicted.`,
  },
  {
    name: 'RoomcastSlowMemberRatioHigh',
    severity: 'warning',
    value: slowRatio(ALERT),
    is: `> ${THRESHOLDS.slowMemberRatio}`,
    while: manyMembers,
    for: '10m',
    summary: 'Many members do not keep up.',
    description: `${share} of the members of {{ $labels.instance }} lag or lose messages.`,
  },
  {
    name: 'RoomcastEvictionsHigh',
    severity: 'warning',
    value: evictionRatio(ALERT),
    is: `> ${THRESHOLDS.evictionRatio}`,
    while: manyMembers,
    for: '10m',
    summary: 'Many members are evicted.',
    description: `{{ $labels.instance }} evicts ${share} of its members a second.`,
  },
  {
    name: 'RoomcastDropsHigh',
    severity: 'warning',
    value: dropRatio(ALERT),
    is: `> ${THRESHOLDS.dropRatio}`,
    for: '10m',
    summary: 'Many messages are dropped.',
    description: `{{ $labels.instance }} drops ${share} of what it fans out; the members concerned are told with gaps.`,
  },
  {
    name: 'RoomcastEventLoopLag',
    severity: 'warning',
    value: eventLoopLagP99(ALERT),
    is: `> ${THRESHOLDS.eventLoopLagP99Seconds}`,
    for: '5m',
    summary: 'The event loop is late.',
    description: `The event loop of {{ $labels.instance }} is up to ${seconds} late: everything waits that long.`,
  },
  {
    name: 'RoomcastConnectionChurn',
    severity: 'warning',
    value: churnRatio(ALERT),
    is: `> ${THRESHOLDS.churnRatio}`,
    while: manyMembers,
    for: '10m',
    summary: 'Members come and go all the time.',
    description: `Connections opened and closed a second on {{ $labels.instance }}: ${share} of the members.`,
  },
  {
    name: 'RoomcastAccountingBroken',
    severity: 'critical',
    value: `abs(${accountingDifference(ALERT)})`,
    is: '> 0',
    for: '2m',
    summary: 'Messages are neither delivered nor dropped nor queued.',
    description:
      'The accounts of {{ $labels.instance }} differ by {{ $value }} messages: a mistake of roomcast.',
  },
];

/** The condition of an alert; beside job and instance the value may have labels of its own. */
export function expressionOf(alert: Alert): string {
  const besides = alert.while === undefined ? '' : ` and on (job, instance) (${alert.while})`;
  return `${alert.value} ${alert.is}${besides}`;
}

/** The rules file of Prometheus, as an object. */
export function rules(): object {
  return {
    groups: [
      {
        name: 'roomcast',
        rules: ALERTS.map((alert) => ({
          alert: alert.name,
          expr: expressionOf(alert),
          for: alert.for,
          labels: { severity: alert.severity },
          annotations: {
            summary: alert.summary,
            description: alert.description,
            runbook_url: runbookOfInstance(alert.name),
          },
        })),
      },
    ],
  };
}
