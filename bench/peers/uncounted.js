/**
 * Loaded into roomcast before its own code (`node --import`): it counts nothing, and watches neither
 * its event loop nor its garbage collector. What P10 compares with. `--metrics false` is not that: it
 * closes a page, and the live page still needs the counts.
 *
 * Left is what hands the counts over: a clock read and a call a batch, and the live page's sample once
 * a second.
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
