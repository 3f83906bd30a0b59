/** Messages published and delivered. */
import { graph, type Panel } from '../panels.js';
import { PANEL, PANEL_BY_INSTANCE, quantile, rate, select, sum } from '../promql.js';

export const traffic: readonly Panel[] = [
  graph({
    id: 501,
    title: 'Published',
    width: 5,
    unit: 'ops',
    targets: [
      {
        expr: sum(PANEL_BY_INSTANCE, [], rate(PANEL_BY_INSTANCE, 'published')),
        legend: '{{instance}}',
      },
    ],
    about: {
      means: 'Messages per second that the broker delivered to each server.',
      normal: 'what your users publish.',
      act: 'at 0 with members connected, see Refusals, in the row Loss.',
      runbook: 'RoomcastDropsHigh',
    },
  }),
  graph({
    id: 502,
    title: 'Deliveries',
    width: 5,
    unit: 'ops',
    targets: [
      {
        expr: sum(PANEL_BY_INSTANCE, [], rate(PANEL_BY_INSTANCE, 'delivered')),
        legend: '{{instance}}',
      },
    ],
    about: {
      means: 'Messages handed to the kernel per second, counted per member, by server.',
      normal: 'published × fan-out, minus drops.',
      act: 'if one server does much more than the others, check how connections are balanced.',
      runbook: 'RoomcastEventLoopLag',
    },
  }),
  graph({
    id: 503,
    title: 'Fan-out',
    width: 4,
    unit: 'short',
    targets: [
      {
        expr: `${sum(PANEL, [], rate(PANEL, 'fannedOut'))} / (${sum(PANEL, [], rate(PANEL, 'published'))} > 0)`,
        legend: 'members per message',
      },
    ],
    about: {
      means: 'Average number of members that a message is sent to.',
      normal: 'the size of your busy rooms.',
      act: 'a jump means that a room became large or busy: GET /v1/rooms lists the largest.',
      runbook: 'RoomcastEventLoopLag',
    },
  }),
  graph({
    id: 504,
    title: 'Sent',
    width: 5,
    unit: 'binBps',
    targets: [
      { expr: sum(PANEL, ['transport'], rate(PANEL, 'sentBytes')), legend: '{{transport}}' },
    ],
    stacked: true,
    about: {
      means: 'Bytes handed to the kernel per second, including framing, by transport.',
      normal: 'below the capacity of your network.',
      act: 'near that capacity every member becomes slow: publish fewer or smaller messages.',
      runbook: 'RoomcastSlowMemberRatioHigh',
    },
  }),
  graph({
    id: 505,
    title: 'Fan-out run time',
    width: 5,
    unit: 's',
    targets: [
      { expr: quantile(PANEL, 0.5, 'flushSeconds'), legend: 'p50' },
      { expr: quantile(PANEL, 0.99, 'flushSeconds'), legend: 'p99' },
    ],
    about: {
      means: 'How long one fan-out run blocks the event loop until it finishes or yields.',
      normal: 'it yields after 5 ms; p99 stays near or below that.',
      act: 'well above 5 ms, single steps are slow: very large messages, or garbage collection.',
      runbook: 'RoomcastEventLoopLag',
    },
  }),
  graph({
    id: 506,
    title: 'Queue wait p99',
    width: 12,
    unit: 's',
    logarithmic: true,
    targets: [
      {
        expr: quantile(PANEL, 0.99, 'queueWaitSeconds', { by: ['consumer'] }),
        legend: '{{consumer}}',
      },
    ],
    colours: { healthy: 'blue', slow: 'orange' },
    about: {
      means:
        "How long messages wait in a member's queue before they reach its transport: the part of the delivery time that the member causes.",
      normal: 'healthy in milliseconds. No line if nothing had to wait.',
      act: 'compare with Delivery time: the difference is the time of the server.',
      runbook: 'RoomcastSlowMemberRatioHigh',
    },
  }),
  graph({
    id: 507,
    title: 'Rooms',
    width: 12,
    unit: 'short',
    targets: [
      {
        expr: sum(PANEL_BY_INSTANCE, [], select(PANEL_BY_INSTANCE, 'rooms')),
        legend: '{{instance}}',
      },
    ],
    about: {
      means: 'Rooms with at least one member, by server.',
      normal: 'follows the members.',
      act: 'if rooms grow and members do not, a client joins without leaving: see GET /v1/rooms.',
      runbook: 'RoomcastConnectionChurn',
    },
  }),
];
