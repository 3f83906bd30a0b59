/**
 * Every alert: when it fires, how bad that is, and what it says. `docs/runbook.md` has a section for
 * each; `test/grafana/rules/` shows each firing and not firing.
 *
 * Labels are fixed text: a value in a label would make a new alert of each value.
 */
import {
  accountingDifference,
  appChecksFailed,
  brokerBacklog,
  brokerLag,
  brokerNotUp,
  churn,
  churnRatio,
  collectorErrors,
  connectionRatio,
  counted,
  deadlockedTasks,
  descriptorRatio,
  dropRatio,
  eventLoopLagP99,
  evictionRatio,
  evictions,
  expiries,
  expiryRatio,
  healthyP99,
  historyMessages,
  historyRatio,
  invalidTokens,
  keyFetchesFailed,
  keySourcesDown,
  lockBlocked,
  meshLost,
  meshQueueBytes,
  missingWorkers,
  partialRatio,
  queueRatio,
  refusedAs,
  restarts,
  roomRatio,
  shortLockHoldP99,
  slowMembers,
  slowRatio,
  staleWorkers,
  tokensInvalid,
  turnedAway,
  workerRestarts,
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
    name: 'RoomcastGone',
    severity: 'critical',
    value: 'absent(up{job="roomcast"})',
    is: '> 0',
    for: '5m',
    summary: 'Prometheus has no roomcast server to ask.',
    description: 'No target of the job {{ $labels.job }} is left: nothing is watched.',
  },
  {
    name: 'RoomcastRestarting',
    severity: 'warning',
    value: restarts(ALERT),
    is: `> ${THRESHOLDS.restarts}`,
    for: '0m',
    summary: 'A roomcast server starts again and again.',
    description: '{{ $labels.instance }} has started {{ $value }} times anew in 15 minutes.',
  },
  {
    name: 'RoomcastFull',
    severity: 'critical',
    value: turnedAway(ALERT),
    is: '> 0',
    for: '2m',
    summary: 'A server has all the connections it may have.',
    description:
      '{{ $labels.instance }} turns {{ $value | humanize }} connections a second away: --max-connections, or --max-connections-per-address.',
  },
  {
    name: 'RoomcastAlmostFull',
    severity: 'warning',
    value: connectionRatio(ALERT),
    is: `> ${THRESHOLDS.fullRatio}`,
    for: '5m',
    summary: 'A server will soon have all the connections it may have.',
    description: `{{ $labels.instance }} has ${share} of the members that --max-connections allows.`,
  },
  {
    name: 'RoomcastRoomsAlmostFull',
    severity: 'warning',
    value: roomRatio(ALERT),
    is: `> ${THRESHOLDS.fullRatio}`,
    for: '5m',
    summary: 'A server will soon have all the rooms it may have.',
    description: `{{ $labels.instance }} has ${share} of the rooms that --max-rooms allows.`,
  },
  {
    name: 'RoomcastDescriptorsHigh',
    severity: 'warning',
    value: descriptorRatio(ALERT),
    is: `> ${THRESHOLDS.descriptorRatio}`,
    for: '5m',
    summary: 'The process is close to its limit of descriptors.',
    description: `{{ $labels.instance }} has ${share} of the file descriptors open that it may have; each connection is one.`,
  },
  {
    name: 'RoomcastBrokerUnavailable',
    severity: 'critical',
    value: refusedAs(ALERT, 'broker_unavailable'),
    is: '> 0',
    for: '2m',
    summary: 'The broker does not answer.',
    description:
      '{{ $labels.instance }} refuses {{ $value | humanize }} commands a second because the broker fails or is late.',
  },
  {
    name: 'RoomcastBrokerSuspended',
    severity: 'critical',
    value: brokerNotUp(ALERT),
    is: '> 0',
    for: '1m',
    summary: 'The broker cannot be reached.',
    description:
      '{{ $value }} processes of {{ $labels.instance }} cannot reach the broker: members stay and hear nothing new.',
  },
  {
    name: 'RoomcastBrokerLag',
    severity: 'warning',
    value: brokerLag(ALERT),
    is: `> ${THRESHOLDS.brokerLagSeconds}`,
    for: '1m',
    summary: 'Messages take long through the broker.',
    description: `From {{ $labels.instance }} through Redis and back takes ${seconds}.`,
  },
  {
    name: 'RoomcastBrokerBacklog',
    severity: 'warning',
    value: brokerBacklog(ALERT),
    is: `> ${THRESHOLDS.brokerBacklogRatio}`,
    for: '1m',
    summary: 'Much is published that the broker has not confirmed.',
    description: `{{ $labels.instance }} has ${share} of what may wait for Redis; at 100 % publishes are refused.`,
  },
  {
    name: 'RoomcastBrokerLost',
    severity: 'warning',
    value: counted(ALERT, 'brokerLost'),
    is: '> 0',
    for: '0m',
    summary: 'The broker has lost messages.',
    description:
      '{{ $labels.instance }} misses {{ $value | humanize }} messages a second that the broker had; members were told by a gap.',
  },
  {
    name: 'RoomcastBrokerUncertain',
    severity: 'warning',
    value: counted(ALERT, 'brokerUncertain'),
    is: '> 0',
    for: '0m',
    summary: 'Nobody knows whether messages were published.',
    description:
      '{{ $labels.instance }} answers {{ $value | humanize }} publishes a second with broker_uncertain.',
  },
  {
    name: 'RoomcastBrokerReset',
    severity: 'warning',
    value: counted(ALERT, 'brokerResets'),
    is: '> 0',
    for: '0m',
    summary: 'Rooms go on in another numbering.',
    description:
      '{{ $value | humanize }} rooms a second of {{ $labels.instance }} were reset: the broker, or a worker, has lost where they stood.',
  },
  {
    name: 'RoomcastWorkerStale',
    severity: 'warning',
    value: staleWorkers(ALERT),
    is: '> 0',
    for: '1m',
    summary: 'A worker does not answer.',
    description: '{{ $value }} workers of {{ $labels.instance }} have not answered for a minute.',
  },
  {
    name: 'RoomcastWorkerMissing',
    severity: 'critical',
    value: missingWorkers(ALERT),
    is: '> 0',
    for: '1m',
    summary: 'A worker has ended and no other has taken its place.',
    description:
      '{{ $value }} workers of {{ $labels.instance }} are missing: the rooms that they order cannot be had.',
  },
  {
    name: 'RoomcastWorkerRestarting',
    severity: 'warning',
    value: workerRestarts(ALERT),
    is: `> ${THRESHOLDS.workerRestarts}`,
    for: '0m',
    summary: 'Workers end and are replaced again and again.',
    description:
      '{{ $value | humanize }} workers of {{ $labels.instance }} were replaced in 15 minutes.',
  },
  {
    name: 'RoomcastMeshBacklog',
    severity: 'warning',
    value: meshQueueBytes(ALERT),
    is: `> ${THRESHOLDS.meshQueueBytes}`,
    for: '1m',
    summary: 'Much waits on the links between workers.',
    description:
      '{{ $value | humanize1024 }}B wait for workers of {{ $labels.instance }}; a link that has 8 MiB loses what comes next.',
  },
  {
    name: 'RoomcastMeshLosing',
    severity: 'warning',
    value: meshLost(ALERT),
    is: '> 0',
    for: '0m',
    summary: 'A worker does not read what others send it.',
    description:
      'A worker of {{ $labels.instance }} was not sent {{ $value | humanize }} messages a second; its members were told by a gap.',
  },
  {
    name: 'RoomcastRoomBusy',
    severity: 'warning',
    value: refusedAs(ALERT, 'room_busy'),
    is: '> 0',
    for: '5m',
    summary: 'More is published than can be fanned out.',
    description:
      '{{ $labels.instance }} refuses {{ $value | humanize }} publishes a second: too much waits to be fanned out.',
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
    value: shortLockHoldP99(ALERT),
    is: `> ${THRESHOLDS.lockHoldP99Seconds}`,
    for: '5m',
    summary: 'A lock is held for too long.',
    description: `99 % of the holds of {{ $labels.lock }} on {{ $labels.instance }} last up to ${seconds}.`,
  },
  {
    name: 'RoomcastLockSaturated',
    severity: 'critical',
    value: lockBlocked(ALERT),
    is: `> ${THRESHOLDS.lockBlocked}`,
    for: '5m',
    summary: 'Others wait for a lock most of the time.',
    description: `Others lose {{ $value | humanize }} seconds a second to whoever holds {{ $labels.lock }} on {{ $labels.instance }}.`,
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
    name: 'RoomcastHistoryMemoryHigh',
    severity: 'warning',
    value: historyRatio(ALERT),
    is: `> ${THRESHOLDS.historyMemoryRatio}`,
    for: '5m',
    summary: 'What rooms keep is close to the limit of its memory.',
    description: `{{ $labels.instance }} keeps ${share} of --history-bytes-total; at 100 % the idlest rooms lose their history.`,
  },
  {
    name: 'RoomcastRecoveriesPartial',
    severity: 'warning',
    value: partialRatio(ALERT),
    is: `> ${THRESHOLDS.partialRatio}`,
    while: `${historyMessages(ALERT)} > 0`,
    for: '10m',
    summary: 'Members come back to find that less is kept than they missed.',
    description: `${share} of the recoveries of {{ $labels.instance }} were partial.`,
  },
  {
    name: 'RoomcastKeySourceDown',
    severity: 'critical',
    value: keySourcesDown(ALERT),
    is: '> 0',
    for: '1m',
    summary: 'There are no keys to check tokens with.',
    description:
      '{{ $labels.instance }} has no keys of --jwks-url that it may use: nobody new gets in, and nobody can refresh.',
  },
  {
    name: 'RoomcastKeyFetchesFail',
    severity: 'warning',
    value: keyFetchesFailed(ALERT),
    is: '> 0',
    for: '5m',
    summary: 'The keys of tokens cannot be fetched.',
    description:
      '{{ $labels.instance }} cannot reach --jwks-url; the keys it has are used until --jwks-stale-ms is over.',
  },
  {
    name: 'RoomcastTokensInvalid',
    severity: 'warning',
    value: tokensInvalid(ALERT),
    is: `> ${THRESHOLDS.invalidTokenRatio}`,
    while: `${invalidTokens(ALERT)} > ${THRESHOLDS.fewInvalidTokens}`,
    for: '10m',
    summary: 'Many tokens are refused as invalid.',
    description: `${share} of the tokens that come to {{ $labels.instance }} are invalid.`,
  },
  {
    name: 'RoomcastExpiriesHigh',
    severity: 'warning',
    value: expiryRatio(ALERT),
    is: `> ${THRESHOLDS.expiryRatio}`,
    while: `${expiries(ALERT)} > ${THRESHOLDS.fewExpiries}`,
    for: '5m',
    summary: 'Many members are closed because their token ends.',
    description: `{{ $labels.instance }} closes ${share} of its members a second with 4105: no new token came in time.`,
  },
  {
    name: 'RoomcastAppChecksFail',
    severity: 'warning',
    value: appChecksFailed(ALERT),
    is: '> 0',
    for: '2m',
    summary: 'The app fails when it is asked who somebody is, or what they may.',
    description:
      '{{ $labels.instance }} has refused {{ $value | humanize }} questions a second with check_failed.',
  },
  {
    name: 'RoomcastSlowMemberRatioHigh',
    severity: 'warning',
    value: slowRatio(ALERT),
    is: `> ${THRESHOLDS.slowMemberRatio}`,
    while: `${slowMembers(ALERT)} > ${THRESHOLDS.fewSlowMembers}`,
    for: '10m',
    summary: 'Many members do not keep up.',
    description: `${share} of the members of {{ $labels.instance }} lag or lose messages.`,
  },
  {
    name: 'RoomcastEvictionsHigh',
    severity: 'warning',
    value: evictionRatio(ALERT),
    is: `> ${THRESHOLDS.evictionRatio}`,
    while: `${evictions(ALERT)} > ${THRESHOLDS.fewEvictions}`,
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
    while: `${churn(ALERT)} > ${THRESHOLDS.fewConnections}`,
    for: '10m',
    summary: 'Members come and go all the time.',
    description: `Connections opened and closed a second on {{ $labels.instance }}: ${share} of the members.`,
  },
  {
    name: 'RoomcastCollectorFailed',
    severity: 'warning',
    value: collectorErrors(ALERT),
    is: '> 0',
    for: '0m',
    summary: 'A part of the server cannot be read: its metrics are missing.',
    description:
      'Metrics of {{ $labels.collector }} at {{ $labels.instance }} are NaN, and no alert about them can fire: a mistake of roomcast.',
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
