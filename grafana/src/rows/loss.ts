/** Messages that were not delivered, and the check that all are accounted for. */
import { accountingDifference, dropRatio } from '../expressions.js';
import { COLOUR, graph, type Panel } from '../panels.js';
import { PANEL, PANEL_BY_INSTANCE, rate, sum } from '../promql.js';
import { THRESHOLDS } from '../thresholds.js';

export const loss: readonly Panel[] = [
  graph({
    id: 601,
    title: 'Drops',
    width: 5,
    unit: 'ops',
    stacked: true,
    targets: [{ expr: sum(PANEL, ['reason'], rate(PANEL, 'dropped')), legend: '{{reason}}' }],
    about: {
      means:
        'Messages dropped per second from full queues, by policy. The member gets a gap for each.',
      normal: '0, except for conflated, where only the newest value of a key matters.',
      act: 'find the slow members; if all are slow, publish less. A larger --queue-messages only delays it.',
      runbook: 'RoomcastDropsHigh',
    },
  }),
  graph({
    id: 602,
    title: 'Drop ratio',
    width: 5,
    unit: 'percentunit',
    threshold: THRESHOLDS.dropRatio,
    colours: { dropped: COLOUR.loss },
    targets: [{ expr: dropRatio(PANEL), legend: 'dropped' }],
    about: {
      means: 'Dropped messages as a share of the messages fanned out, without conflation.',
      normal: `below ${THRESHOLDS.dropRatio * 100} %.`,
      act: 'check the policy in Drops and the members in Furthest behind.',
      runbook: 'RoomcastDropsHigh',
    },
  }),
  graph({
    id: 603,
    title: 'Evictions',
    width: 5,
    unit: 'ops',
    stacked: true,
    targets: [{ expr: sum(PANEL, ['reason'], rate(PANEL, 'evicted')), legend: '{{reason}}' }],
    about: {
      means: 'Members evicted per second by reason: too slow, too fast, or no longer answering.',
      normal: 'near 0; heartbeat_missed and slow_consumer for peers that vanished.',
      act: 'memory_pressure: see Queue memory. control_overflow: a client that sends commands and never reads.',
      runbook: 'RoomcastEvictionsHigh',
    },
  }),
  graph({
    id: 604,
    title: 'Refusals',
    width: 5,
    unit: 'ops',
    stacked: true,
    targets: [{ expr: sum(PANEL, ['code'], rate(PANEL, 'refused')), legend: '{{code}}' }],
    about: {
      means: 'Commands and HTTP requests refused per second, by code.',
      normal: 'near 0. rate_limited and message_too_big mean that a limit is enforced.',
      act: 'the code says what is wrong with the request; the README explains each.',
      runbook: 'RoomcastConnectionChurn',
    },
  }),
  graph({
    id: 605,
    title: 'Accounting difference',
    width: 4,
    unit: 'short',
    targets: [{ expr: accountingDifference(PANEL_BY_INSTANCE), legend: '{{instance}}' }],
    about: {
      means:
        'Fanned out − delivered − dropped − abandoned − queued, read at one instant: messages lost without a gap.',
      normal: '0, always.',
      act: 'any other value is a bug in roomcast: keep the log and report it.',
      runbook: 'RoomcastAccountingBroken',
    },
  }),
];
