/** What did not arrive, and the proof that nothing else is missing. */
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
        'Messages dropped a second from full queues, by the policy that did it. Each is told to its member with a gap.',
      normal: '0, but for conflated: there the newest value of a key is all that counts.',
      act: 'see who is slow; if everybody is, publish less. A larger --queue-messages only puts it off.',
      runbook: 'RoomcastDropsHigh',
    },
  }),
  graph({
    id: 602,
    title: 'Share dropped',
    width: 5,
    unit: 'percentunit',
    threshold: THRESHOLDS.dropRatio,
    colours: { dropped: COLOUR.loss },
    targets: [{ expr: dropRatio(PANEL), legend: 'dropped' }],
    about: {
      means: 'Of the messages fanned out, the share that was dropped; conflation does not count.',
      normal: `below ${THRESHOLDS.dropRatio * 100} %.`,
      act: 'see the policy in Drops and the members in Furthest behind.',
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
      means:
        'Members the server ended a second because they were too slow or too fast, or did not answer, by reason.',
      normal: 'near 0; heartbeat_missed and slow_consumer for those that went away without a word.',
      act: 'memory_pressure: see Queue memory. control_overflow: a client that asks and never reads.',
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
      means: 'Commands and HTTP requests refused a second, by code.',
      normal: 'near 0. rate_limited and message_too_big are limits at work.',
      act: 'the code says what is wrong with the request; its meaning is in the README.',
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
        'Fanned out − delivered − dropped − abandoned − queued, read at one instant: what would be lost without a word.',
      normal: '0, always.',
      act: 'anything else is a mistake of roomcast: keep the log, report it.',
      runbook: 'RoomcastAccountingBroken',
    },
  }),
];
