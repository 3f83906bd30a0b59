/**
 * Loaded into roomcast before its own code (`node --import`), for P10: disables all counters, and the
 * monitors of the event loop and the garbage collector. `--metrics false` is different: it only disables
 * the metrics page, since the live page still needs the counts.
 *
 * What remains is the cost of calling the counters: a clock read and a call per batch, and the live page's
 * sample once a second.
 */
import { monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks';
import { Recorder } from '../../dist/metrics/recorder.js';

/** @param {object} prototype @param {string} method */
const silence = (prototype, method) =>
  Object.defineProperty(prototype, method, { value: () => undefined });

for (const method of Object.getOwnPropertyNames(Recorder.prototype)) {
  if (method !== 'constructor') silence(Recorder.prototype, method);
}
silence(Object.getPrototypeOf(monitorEventLoopDelay()), 'enable');
silence(PerformanceObserver.prototype, 'observe');
