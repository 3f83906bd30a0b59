/** What goes in, and what it becomes. */
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
      means: 'Messages a second that the broker delivered to each server.',
      normal: 'what your users say.',
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
      means: 'Messages a second handed to the kernel, one for each member that gets it, by server.',
      normal: 'published × fan-out, less what is dropped.',
      act: 'if one server does much more than the others, see how connections are balanced.',
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
        legend: 'members a message',
      },
    ],
    about: {
      means: 'To how many members a message goes, on average.',
      normal: 'the size of your busy rooms.',
      act: 'a jump is a room that became large or loud: GET /v1/rooms says which.',
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
      means: 'Bytes a second handed to the kernel for members, framing included, by transport.',
      normal: 'below what your network carries.',
      act: 'near the limit of the network every member becomes slow: publish less, or smaller.',
      runbook: 'RoomcastSlowMemberRatioHigh',
    },
  }),
  graph({
    id: 505,
    title: 'One run of the fan-out',
    width: 5,
    unit: 's',
    targets: [
      { expr: quantile(PANEL, 0.5, 'flushSeconds'), legend: 'p50' },
      { expr: quantile(PANEL, 0.99, 'flushSeconds'), legend: 'p99' },
    ],
    about: {
      means: 'How long the fan-out held the event loop before it was done, or yielded.',
      normal: 'it yields after 5 ms; p99 stays near or below.',
      act: 'well above 5 ms, single steps are long: very large messages, or garbage collection.',
      runbook: 'RoomcastEventLoopLag',
    },
  }),
  graph({
    id: 506,
    title: 'Wait in queues p99',
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
        'How long messages waited in the queue of a member before they were handed to its transport: the part of the delivery time that the member is to blame for.',
      normal: 'healthy in milliseconds. No line where nothing had to wait.',
      act: 'compare with Delivery time: what is left is the time of the server.',
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
      act: 'if rooms grow and members do not, some client joins without leaving: GET /v1/rooms.',
      runbook: 'RoomcastConnectionChurn',
    },
  }),
];
