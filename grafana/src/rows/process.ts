/** Resource usage of the process. */
import { eventLoopLagP99, members, queueRatio } from '../expressions.js';
import { graph, type Panel } from '../panels.js';
import { max, PANEL, PANEL_BY_INSTANCE, rate, select, sum } from '../promql.js';
import { THRESHOLDS } from '../thresholds.js';

const each = PANEL_BY_INSTANCE;

export const nodeProcess: readonly Panel[] = [
  graph({
    id: 801,
    title: 'Event loop lag',
    width: 6,
    unit: 's',
    threshold: THRESHOLDS.eventLoopLagP99Seconds,
    targets: [
      { expr: max(PANEL, [], select(PANEL, 'nodejsEventLoopLagP50Seconds')), legend: 'p50' },
      { expr: eventLoopLagP99(PANEL), legend: 'p99' },
      { expr: max(PANEL, [], select(PANEL, 'nodejsEventLoopLagMaxSeconds')), legend: 'max' },
    ],
    about: {
      means:
        'How late timers fired since the last scrape, on the worst server. Everything is delayed by that time.',
      normal: 'p99 in milliseconds.',
      act: 'compare with CPU and garbage collection. If two Prometheus servers scrape, each sees half of the time.',
      runbook: 'RoomcastEventLoopLag',
    },
  }),
  graph({
    id: 802,
    title: 'CPU',
    width: 6,
    unit: 'short',
    targets: [
      { expr: sum(each, [], rate(each, 'processCpuSeconds')), legend: '{{instance}}' },
      { expr: sum(PANEL, [], rate(PANEL, 'processCpuUserSeconds')), legend: 'user, all servers' },
      {
        expr: sum(PANEL, [], rate(PANEL, 'processCpuSystemSeconds')),
        legend: 'system, all servers',
      },
    ],
    about: {
      means:
        'Cores in use, by server. One core runs JavaScript; the rest is garbage collection and the kernel.',
      normal: 'well below 1.',
      act: 'at 1 the event loop is saturated: add servers, or reduce room sizes or publishes.',
      runbook: 'RoomcastEventLoopLag',
    },
  }),
  graph({
    id: 803,
    title: 'Queue memory',
    width: 6,
    unit: 'percentunit',
    threshold: THRESHOLDS.queueMemoryRatio,
    targets: [{ expr: queueRatio(PANEL), legend: 'of --queue-bytes-total' }],
    about: {
      means: 'Memory of all queues as a share of the limit, on the fullest server.',
      normal: 'near 0 %.',
      act: 'see Largest queues. At 100 % the members stalled longest are evicted, and only those.',
      runbook: 'RoomcastQueueMemoryHigh',
    },
  }),
  graph({
    id: 804,
    title: 'Resident memory',
    width: 6,
    unit: 'bytes',
    targets: [
      { expr: sum(each, [], select(each, 'processResidentMemoryBytes')), legend: '{{instance}}' },
    ],
    about: {
      means: 'Resident memory of the process, as reported by the operating system.',
      normal: 'follows the members, and falls with a delay, since Node returns memory slowly.',
      act: 'if it climbs for hours with constant members, take a heap snapshot.',
      runbook: 'RoomcastQueueMemoryHigh',
    },
  }),
  graph({
    id: 805,
    title: 'Memory per member',
    width: 6,
    unit: 'bytes',
    targets: [
      {
        expr: `${sum(PANEL, [], select(PANEL, 'processResidentMemoryBytes'))} / (${members(PANEL)} > 0)`,
        legend: 'per member',
      },
    ],
    about: {
      means: 'Resident memory divided by members, including the memory of an idle process.',
      normal: 'tens of kilobytes with thousands of members.',
      act: 'if it climbs, see Queue memory first, then the heap.',
      runbook: 'RoomcastQueueMemoryHigh',
    },
  }),
  graph({
    id: 806,
    title: 'Heap',
    width: 6,
    unit: 'bytes',
    targets: [
      { expr: sum(PANEL, [], select(PANEL, 'nodejsHeapUsedBytes')), legend: 'used' },
      { expr: sum(PANEL, [], select(PANEL, 'nodejsHeapTotalBytes')), legend: 'total' },
      { expr: sum(PANEL, [], select(PANEL, 'nodejsExternalMemoryBytes')), legend: 'external' },
    ],
    about: {
      means: 'The JavaScript heap, and buffers outside it.',
      normal: 'a sawtooth: garbage accumulates and is collected.',
      act: 'if the minima rise, memory is retained: take a heap snapshot.',
      runbook: 'RoomcastQueueMemoryHigh',
    },
  }),
  graph({
    id: 807,
    title: 'Garbage collection',
    width: 6,
    unit: 'percentunit',
    stacked: true,
    targets: [
      {
        expr: sum(PANEL, ['kind'], rate(PANEL, 'nodejsGcDurationSeconds', { suffix: '_sum' })),
        legend: '{{kind}}',
      },
    ],
    about: {
      means: 'Share of time in which the process paused to collect garbage, by kind.',
      normal: 'a few percent, nearly all minor.',
      act: 'if major grows, the heap is near its limit: raise --max-old-space-size, or use fewer members per server.',
      runbook: 'RoomcastEventLoopLag',
    },
  }),
  graph({
    id: 808,
    title: 'File descriptors',
    width: 6,
    unit: 'percentunit',
    max: 1,
    targets: [
      {
        expr: max(
          PANEL,
          [],
          `${select(PANEL, 'processOpenFds')} / ${select(PANEL, 'processMaxFds')}`,
        ),
        legend: 'of ulimit -n',
      },
    ],
    about: {
      means:
        'Open file descriptors as a share of the limit, on the worst server; each connection uses one.',
      normal: 'below 80 %.',
      act: 'raise ulimit -n (LimitNOFILE) before it is full: then nobody can connect.',
      runbook: 'RoomcastConnectionChurn',
    },
  }),
];
