/**
 * One clock for all processes of a run: microseconds on the machine's monotonic clock, so that one
 * worker can measure the latency of a message that another one stamped.
 * Not here: phases and schedules (plan.ts).
 */

/**
 * Offset from this process' `performance.now()` to the machine's clock, in ms. A process that gets no CPU
 * between the two readings makes it too small, so the largest of several counts.
 */
const origin = Math.max(
  ...Array.from({ length: 10 }, () => Number(process.hrtime.bigint()) / 1e6 - performance.now()),
);

/** Microseconds on the machine's monotonic clock; comparable between processes, not machines. */
export function machineMicros(): number {
  return (origin + performance.now()) * 1000;
}
