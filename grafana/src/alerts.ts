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
  readonly expr: string;
  /** How long it has to be so. */
  readonly for: string;
  /** The same text for every instance. */
  readonly summary: string;
  /** With what is the case, in the template language of Prometheus. */
  readonly description: string;
}

const manyMembers = `(${members(ALERT)} > ${THRESHOLDS.fewMembers})`;
/** Both sides have the labels of an instance, the left one maybe also those of a lock. */
const whileOn = 'and on (job, instance)';

const seconds = '{{ $value | humanizeDuration }}';
const share = '{{ $value | humanizePercentage }}';

export const ALERTS: readonly Alert[] = [
  {
    name: 'RoomcastDown',
    severity: 'critical',
    expr: 'up{job="roomcast"} == 0',
    for: '1m',
    summary: 'A roomcast server does not answer.',
    description: '{{ $labels.instance }} has not answered a scrape for a minute.',
  },
  {
    name: 'RoomcastIsolationBroken',
    severity: 'critical',
    expr: `${healthyP99(ALERT)} > ${THRESHOLDS.healthyP99Seconds} ${whileOn} (${slowMembers(ALERT)} > 0)`,
    for: '5m',
    summary: 'Slow members make healthy ones wait.',
    description: `While members are slow, 99 % of deliveries to healthy members of {{ $labels.instance }} take up to ${seconds}.`,
  },
  {
    name: 'RoomcastDeadlock',
    severity: 'critical',
    expr: `${deadlockedTasks(ALERT)} > 0`,
    for: '0m',
    summary: 'Tasks wait for each other for ever.',
    description:
      '{{ $value }} tasks of {{ $labels.instance }} are deadlocked; roomcast locks, or GET /v1/locks, says which.',
  },
  {
    name: 'RoomcastLockHeldTooLong',
    severity: 'warning',
    expr: `${lockHoldP99(ALERT)} > ${THRESHOLDS.lockHoldP99Seconds}`,
    for: '5m',
    summary: 'A lock is held for too long.',
    description: `99 % of the holds of {{ $labels.lock }} on {{ $labels.instance }} last up to ${seconds}.`,
  },
  {
    name: 'RoomcastLockSaturated',
    severity: 'critical',
    expr: `${lockUtilisation(ALERT)} > ${THRESHOLDS.lockUtilisation}`,
    for: '5m',
    summary: 'A lock is held most of the time.',
    description: `{{ $labels.lock }} on {{ $labels.instance }} is held ${share} of the time.`,
  },
  {
    name: 'RoomcastQueueMemoryHigh',
    severity: 'warning',
    expr: `${queueRatio(ALERT)} > ${THRESHOLDS.queueMemoryRatio}`,
    for: '5m',
    summary: 'The queues are close to the limit of their memory.',
    description: `The queues of {{ $labels.instance }} hold ${share} of --queue-bytes-total; at 100 % the longest stalled members are evicted.`,
  },
  {
    name: 'RoomcastSlowMemberRatioHigh',
    severity: 'warning',
    expr: `${slowRatio(ALERT)} > ${THRESHOLDS.slowMemberRatio} ${whileOn} ${manyMembers}`,
    for: '10m',
    summary: 'Many members do not keep up.',
    description: `${share} of the members of {{ $labels.instance }} lag or lose messages.`,
  },
  {
    name: 'RoomcastEvictionsHigh',
    severity: 'warning',
    expr: `${evictionRatio(ALERT)} > ${THRESHOLDS.evictionRatio} ${whileOn} ${manyMembers}`,
    for: '10m',
    summary: 'Many members are evicted.',
    description: `{{ $labels.instance }} evicts ${share} of its members a second.`,
  },
  {
    name: 'RoomcastDropsHigh',
    severity: 'warning',
    expr: `${dropRatio(ALERT)} > ${THRESHOLDS.dropRatio}`,
    for: '10m',
    summary: 'Many messages are dropped.',
    description: `{{ $labels.instance }} drops ${share} of what it fans out; the members concerned are told with gaps.`,
  },
  {
    name: 'RoomcastEventLoopLag',
    severity: 'warning',
    expr: `${eventLoopLagP99(ALERT)} > ${THRESHOLDS.eventLoopLagP99Seconds}`,
    for: '5m',
    summary: 'The event loop is late.',
    description: `The event loop of {{ $labels.instance }} is up to ${seconds} late: everything waits that long.`,
  },
  {
    name: 'RoomcastConnectionChurn',
    severity: 'warning',
    expr: `${churnRatio(ALERT)} > ${THRESHOLDS.churnRatio} ${whileOn} ${manyMembers}`,
    for: '10m',
    summary: 'Members come and go all the time.',
    description: `Connections opened and closed a second on {{ $labels.instance }}: ${share} of the members.`,
  },
  {
    name: 'RoomcastAccountingBroken',
    severity: 'critical',
    expr: `abs(${accountingDifference(ALERT)}) > 0`,
    for: '2m',
    summary: 'Messages are neither delivered nor dropped nor queued.',
    description:
      'The accounts of {{ $labels.instance }} differ by {{ $value }} messages: a mistake of roomcast.',
  },
];

/** The rules file of Prometheus, as an object. */
export function rules(): object {
  return {
    groups: [
      {
        name: 'roomcast',
        rules: ALERTS.map((alert) => ({
          alert: alert.name,
          expr: alert.expr,
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
