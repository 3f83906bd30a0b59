/**
 * All alert rules: condition, severity and text. `docs/runbook.md` has a section for each;
 * `test/grafana/rules.test.ts` shows each firing and not firing.
 *
 * Labels are fixed text: a value in a label would create a new alert for each value.
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
  /** The measured expression, by job and instance. */
  readonly value: string;
  /** The comparison that makes the alert fire. */
  readonly is: string;
  /** Additional condition, by job and instance. */
  readonly while?: string;
  /** How long the condition must hold. */
  readonly for: string;
  /** The same text for every instance. */
  readonly summary: string;
  /** Text with the measured values, in Prometheus' template language. */
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
    summary: 'Prometheus has no roomcast target.',
    description: 'The job {{ $labels.job }} has no targets left: nothing is monitored.',
  },
  {
    name: 'RoomcastRestarting',
    severity: 'warning',
    value: restarts(ALERT),
    is: `> ${THRESHOLDS.restarts}`,
    for: '0m',
    summary: 'A roomcast server restarts repeatedly.',
    description: '{{ $labels.instance }} has restarted {{ $value }} times in 15 minutes.',
  },
  {
    name: 'RoomcastFull',
    severity: 'critical',
    value: turnedAway(ALERT),
    is: '> 0',
    for: '2m',
    summary: 'A server has reached its connection limit.',
    description:
      '{{ $labels.instance }} rejects {{ $value | humanize }} connections per second because of --max-connections or --max-connections-per-address.',
  },
  {
    name: 'RoomcastAlmostFull',
    severity: 'warning',
    value: connectionRatio(ALERT),
    is: `> ${THRESHOLDS.fullRatio}`,
    for: '5m',
    summary: 'A server is close to its connection limit.',
    description: `{{ $labels.instance }} has ${share} of the members that --max-connections allows.`,
  },
  {
    name: 'RoomcastRoomsAlmostFull',
    severity: 'warning',
    value: roomRatio(ALERT),
    is: `> ${THRESHOLDS.fullRatio}`,
    for: '5m',
    summary: 'A server is close to its room limit.',
    description: `{{ $labels.instance }} has ${share} of the rooms that --max-rooms allows.`,
  },
  {
    name: 'RoomcastDescriptorsHigh',
    severity: 'warning',
    value: descriptorRatio(ALERT),
    is: `> ${THRESHOLDS.descriptorRatio}`,
    for: '5m',
    summary: 'The process is close to its file descriptor limit.',
    description: `{{ $labels.instance }} has ${share} of its file descriptors open; each connection uses one.`,
  },
  {
    name: 'RoomcastBrokerUnavailable',
    severity: 'critical',
    value: refusedAs(ALERT, 'broker_unavailable'),
    is: '> 0',
    for: '2m',
    summary: 'The broker does not answer.',
    description:
      '{{ $labels.instance }} refuses {{ $value | humanize }} commands per second because the broker fails or is late.',
  },
  {
    name: 'RoomcastBrokerSuspended',
    severity: 'critical',
    value: brokerNotUp(ALERT),
    is: '> 0',
    for: '1m',
    summary: 'The broker cannot be reached.',
    description:
      '{{ $value }} processes of {{ $labels.instance }} cannot reach the broker: members stay connected but receive nothing new.',
  },
  {
    name: 'RoomcastBrokerLag',
    severity: 'warning',
    value: brokerLag(ALERT),
    is: `> ${THRESHOLDS.brokerLagSeconds}`,
    for: '1m',
    summary: 'Messages take long through the broker.',
    description: `The round trip from {{ $labels.instance }} through Redis takes ${seconds}.`,
  },
  {
    name: 'RoomcastBrokerBacklog',
    severity: 'warning',
    value: brokerBacklog(ALERT),
    is: `> ${THRESHOLDS.brokerBacklogRatio}`,
    for: '1m',
    summary: 'Many publishes await confirmation by the broker.',
    description: `{{ $labels.instance }} uses ${share} of the limit of messages that await Redis; at 100 % publishes are refused.`,
  },
  {
    name: 'RoomcastBrokerLost',
    severity: 'warning',
    value: counted(ALERT, 'brokerLost'),
    is: '> 0',
    for: '0m',
    summary: 'The broker has lost messages.',
    description:
      '{{ $labels.instance }} misses {{ $value | humanize }} messages per second that the broker had; members got a gap for them.',
  },
  {
    name: 'RoomcastBrokerUncertain',
    severity: 'warning',
    value: counted(ALERT, 'brokerUncertain'),
    is: '> 0',
    for: '0m',
    summary: 'It is unknown whether some messages were published.',
    description:
      '{{ $labels.instance }} answers {{ $value | humanize }} publishes per second with broker_uncertain.',
  },
  {
    name: 'RoomcastBrokerReset',
    severity: 'warning',
    value: counted(ALERT, 'brokerResets'),
    is: '> 0',
    for: '0m',
    summary: 'Rooms have restarted their numbering.',
    description:
      '{{ $value | humanize }} rooms per second of {{ $labels.instance }} were reset: the broker, or a worker, has lost their positions.',
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
    summary: 'A worker has ended and was not replaced.',
    description:
      '{{ $value }} workers of {{ $labels.instance }} are missing: the rooms they own are unavailable.',
  },
  {
    name: 'RoomcastWorkerRestarting',
    severity: 'warning',
    value: workerRestarts(ALERT),
    is: `> ${THRESHOLDS.workerRestarts}`,
    for: '0m',
    summary: 'Workers end and are replaced repeatedly.',
    description:
      '{{ $value | humanize }} workers of {{ $labels.instance }} were replaced in 15 minutes.',
  },
  {
    name: 'RoomcastMeshBacklog',
    severity: 'warning',
    value: meshQueueBytes(ALERT),
    is: `> ${THRESHOLDS.meshQueueBytes}`,
    for: '1m',
    summary: 'The queues between workers are long.',
    description:
      '{{ $value | humanize1024 }}B are queued for workers of {{ $labels.instance }}; a link with 8 MiB queued loses further messages.',
  },
  {
    name: 'RoomcastMeshLosing',
    severity: 'warning',
    value: meshLost(ALERT),
    is: '> 0',
    for: '0m',
    summary: 'A worker does not read what other workers send.',
    description:
      'A worker of {{ $labels.instance }} misses {{ $value | humanize }} messages per second; its members got a gap for them.',
  },
  {
    name: 'RoomcastRoomBusy',
    severity: 'warning',
    value: refusedAs(ALERT, 'room_busy'),
    is: '> 0',
    for: '5m',
    summary: 'More is published than the server can fan out.',
    description:
      '{{ $labels.instance }} refuses {{ $value | humanize }} publishes per second: too many messages await fan-out.',
  },
  {
    name: 'RoomcastIsolationBroken',
    severity: 'critical',
    value: healthyP99(ALERT),
    is: `> ${THRESHOLDS.healthyP99Seconds}`,
    while: `${slowMembers(ALERT)} > 0`,
    for: '5m',
    summary: 'Slow members delay healthy ones.',
    description: `While members are slow, 99 % of deliveries to healthy members of {{ $labels.instance }} take up to ${seconds}.`,
  },
  {
    name: 'RoomcastDeadlock',
    severity: 'critical',
    value: deadlockedTasks(ALERT),
    is: '> 0',
    for: '0m',
    summary: 'Tasks are deadlocked.',
    description:
      '{{ $value }} tasks of {{ $labels.instance }} wait for each other; roomcast locks or GET /v1/locks lists them.',
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
    summary: 'A lock blocks other tasks most of the time.',
    description: `Tasks wait {{ $value | humanize }} seconds per second for holders of {{ $labels.lock }} on {{ $labels.instance }}.`,
  },
  {
    name: 'RoomcastQueueMemoryHigh',
    severity: 'warning',
    value: queueRatio(ALERT),
    is: `> ${THRESHOLDS.queueMemoryRatio}`,
    for: '5m',
    summary: 'The queues are close to their memory limit.',
    description: `The queues of {{ $labels.instance }} hold ${share} of --queue-bytes-total; at 100 % the members stalled longest are evicted.`,
  },
  {
    name: 'RoomcastHistoryMemoryHigh',
    severity: 'warning',
    value: historyRatio(ALERT),
    is: `> ${THRESHOLDS.historyMemoryRatio}`,
    for: '5m',
    summary: 'Room history is close to its memory limit.',
    description: `{{ $labels.instance }} keeps ${share} of --history-bytes-total; at 100 % the rooms idle longest lose their history.`,
  },
  {
    name: 'RoomcastRecoveriesPartial',
    severity: 'warning',
    value: partialRatio(ALERT),
    is: `> ${THRESHOLDS.partialRatio}`,
    while: `${historyMessages(ALERT)} > 0`,
    for: '10m',
    summary: 'Members miss more messages than the history keeps.',
    description: `${share} of the recoveries of {{ $labels.instance }} were partial.`,
  },
  {
    name: 'RoomcastKeySourceDown',
    severity: 'critical',
    value: keySourcesDown(ALERT),
    is: '> 0',
    for: '1m',
    summary: 'There are no keys to verify tokens.',
    description:
      '{{ $labels.instance }} has no usable keys from --jwks-url: nobody can connect or refresh a token.',
  },
  {
    name: 'RoomcastKeyFetchesFail',
    severity: 'warning',
    value: keyFetchesFailed(ALERT),
    is: '> 0',
    for: '5m',
    summary: 'The token keys cannot be fetched.',
    description:
      '{{ $labels.instance }} cannot reach --jwks-url; it uses its current keys until --jwks-stale-ms has passed.',
  },
  {
    name: 'RoomcastTokensInvalid',
    severity: 'warning',
    value: tokensInvalid(ALERT),
    is: `> ${THRESHOLDS.invalidTokenRatio}`,
    while: `${invalidTokens(ALERT)} > ${THRESHOLDS.fewInvalidTokens}`,
    for: '10m',
    summary: 'Many tokens are refused as invalid.',
    description: `${share} of the tokens that {{ $labels.instance }} receives are invalid.`,
  },
  {
    name: 'RoomcastExpiriesHigh',
    severity: 'warning',
    value: expiryRatio(ALERT),
    is: `> ${THRESHOLDS.expiryRatio}`,
    while: `${expiries(ALERT)} > ${THRESHOLDS.fewExpiries}`,
    for: '5m',
    summary: 'Many connections are closed because their token expired.',
    description: `{{ $labels.instance }} closes ${share} of its members per second with 4105: no new token came in time.`,
  },
  {
    name: 'RoomcastAppChecksFail',
    severity: 'warning',
    value: appChecksFailed(ALERT),
    is: '> 0',
    for: '2m',
    summary: "The app's authentication or authorisation hook fails.",
    description:
      '{{ $labels.instance }} has refused {{ $value | humanize }} requests per second with check_failed.',
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
    description: `{{ $labels.instance }} evicts ${share} of its members per second.`,
  },
  {
    name: 'RoomcastDropsHigh',
    severity: 'warning',
    value: dropRatio(ALERT),
    is: `> ${THRESHOLDS.dropRatio}`,
    for: '10m',
    summary: 'Many messages are dropped.',
    description: `{{ $labels.instance }} drops ${share} of the messages it fans out; the members concerned get gaps.`,
  },
  {
    name: 'RoomcastEventLoopLag',
    severity: 'warning',
    value: eventLoopLagP99(ALERT),
    is: `> ${THRESHOLDS.eventLoopLagP99Seconds}`,
    for: '5m',
    summary: 'The event loop is late.',
    description: `The event loop of {{ $labels.instance }} is up to ${seconds} late: everything is delayed by that time.`,
  },
  {
    name: 'RoomcastConnectionChurn',
    severity: 'warning',
    value: churnRatio(ALERT),
    is: `> ${THRESHOLDS.churnRatio}`,
    while: `${churn(ALERT)} > ${THRESHOLDS.fewConnections}`,
    for: '10m',
    summary: 'Members connect and disconnect constantly.',
    description: `Connections opened and closed per second on {{ $labels.instance }}: ${share} of the members.`,
  },
  {
    name: 'RoomcastCollectorFailed',
    severity: 'warning',
    value: collectorErrors(ALERT),
    is: '> 0',
    for: '0m',
    summary: 'Some metrics of a server cannot be read.',
    description:
      'Metrics of {{ $labels.collector }} at {{ $labels.instance }} are NaN, and alerts on them cannot fire: a bug in roomcast.',
  },
  {
    name: 'RoomcastAccountingBroken',
    severity: 'critical',
    value: `abs(${accountingDifference(ALERT)})`,
    is: '> 0',
    for: '2m',
    summary: 'Messages are neither delivered, dropped nor queued.',
    description:
      'The message accounting of {{ $labels.instance }} is off by {{ $value }} messages: a bug in roomcast.',
  },
];

/** The full PromQL condition. The value may have labels besides job and instance. */
export function expressionOf(alert: Alert): string {
  const besides = alert.while === undefined ? '' : ` and on (job, instance) (${alert.while})`;
  return `${alert.value} ${alert.is}${besides}`;
}

/** The content of the Prometheus rules file, as an object. */
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
