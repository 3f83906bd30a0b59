/** Metrics of the process, by the names that dashboards for Node expect. */
import type { Metric } from './metric.js';

export const GC_KINDS = ['minor', 'major', 'incremental', 'weakcb'] as const;

export const ofProcess = {
  buildInfo: {
    name: 'roomcast_build_info',
    type: 'gauge',
    aggregate: 'max',
    unit: 'info',
    labels: { version: null, node: null },
    help: 'Always 1; the labels say which roomcast and which Node runs.',
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
    help: 'When this process started, in seconds since 1970.',
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
    help: 'Open file descriptors; one a connection. NaN where the system does not tell.',
  },
  processMaxFds: {
    name: 'process_max_fds',
    type: 'gauge',
    unit: 'descriptors',
    labels: {},
    help: 'File descriptors this process may have open. NaN where the system does not tell.',
  },
  nodejsHeapTotalBytes: {
    name: 'nodejs_heap_size_total_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: {},
    help: 'Size of the JavaScript heap.',
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
    help: 'How late the event loop was: median of the worst ten seconds of the last minute, sampled every 10 ms.',
  },
  nodejsEventLoopLagP99Seconds: {
    name: 'nodejs_eventloop_lag_p99_seconds',
    type: 'gauge',
    unit: 'seconds',
    labels: {},
    help: 'How late the event loop was: 99th percentile of the worst ten seconds of the last minute, sampled every 10 ms.',
  },
  nodejsEventLoopLagMaxSeconds: {
    name: 'nodejs_eventloop_lag_max_seconds',
    type: 'gauge',
    unit: 'seconds',
    labels: {},
    help: 'How late the event loop was: worst of the last minute, sampled every 10 ms.',
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
