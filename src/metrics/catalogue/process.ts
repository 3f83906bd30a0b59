/** Metrics of the process, with the names that Node dashboards expect. */
import type { Metric } from './metric.js';

export const GC_KINDS = ['minor', 'major', 'incremental', 'weakcb'] as const;

export const ofProcess = {
  buildInfo: {
    name: 'roomcast_build_info',
    type: 'gauge',
    aggregate: 'max',
    unit: 'info',
    labels: { version: null, node: null },
    help: 'Always 1; the labels give the versions of roomcast and Node.',
  },
  processCpuUserSeconds: {
    name: 'process_cpu_user_seconds_total',
    type: 'counter',
    unit: 'seconds',
    labels: {},
    help: 'CPU time of this process outside the kernel.',
  },
  processCpuSystemSeconds: {
    name: 'process_cpu_system_seconds_total',
    type: 'counter',
    unit: 'seconds',
    labels: {},
    help: 'CPU time of this process in the kernel.',
  },
  processCpuSeconds: {
    name: 'process_cpu_seconds_total',
    type: 'counter',
    unit: 'seconds',
    labels: {},
    help: 'CPU time of this process, user and system.',
  },
  processStartTimeSeconds: {
    name: 'process_start_time_seconds',
    type: 'gauge',
    unit: 'seconds',
    labels: {},
    help: 'Start time of this process, in seconds since 1970.',
  },
  processResidentMemoryBytes: {
    name: 'process_resident_memory_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: {},
    help: 'Resident memory of this process.',
  },
  processOpenFds: {
    name: 'process_open_fds',
    type: 'gauge',
    unit: 'descriptors',
    labels: {},
    help: 'Open file descriptors; each connection uses one. NaN if unknown.',
  },
  processMaxFds: {
    name: 'process_max_fds',
    type: 'gauge',
    unit: 'descriptors',
    labels: {},
    help: 'Maximum number of open file descriptors. NaN if unknown.',
  },
  nodejsHeapTotalBytes: {
    name: 'nodejs_heap_size_total_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: {},
    help: 'Total size of the JavaScript heap.',
  },
  nodejsHeapUsedBytes: {
    name: 'nodejs_heap_size_used_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: {},
    help: 'Used part of the JavaScript heap.',
  },
  nodejsExternalMemoryBytes: {
    name: 'nodejs_external_memory_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: {},
    help: 'Memory of buffers and other objects outside the JavaScript heap.',
  },
  nodejsEventLoopLagP50Seconds: {
    name: 'nodejs_eventloop_lag_p50_seconds',
    type: 'gauge',
    unit: 'seconds',
    labels: {},
    help: 'Event loop lag: median of the worst ten seconds of the last minute, sampled every 10 ms.',
  },
  nodejsEventLoopLagP99Seconds: {
    name: 'nodejs_eventloop_lag_p99_seconds',
    type: 'gauge',
    unit: 'seconds',
    labels: {},
    help: 'Event loop lag: 99th percentile of the worst ten seconds of the last minute, sampled every 10 ms.',
  },
  nodejsEventLoopLagMaxSeconds: {
    name: 'nodejs_eventloop_lag_max_seconds',
    type: 'gauge',
    unit: 'seconds',
    labels: {},
    help: 'Event loop lag: maximum of the last minute, sampled every 10 ms.',
  },
  nodejsGcDurationSeconds: {
    name: 'nodejs_gc_duration_seconds',
    type: 'histogram',
    unit: 'seconds',
    labels: { kind: GC_KINDS },
    buckets: [0.0001, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1],
    help: 'Pauses for garbage collection, by kind.',
  },
} as const satisfies Record<string, Metric>;
