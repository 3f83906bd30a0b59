/**
 * One clock for all processes of a run: microseconds on the machine's monotonic clock, so that a
 * message stamped by one worker may be timed by another. Not here: phases and schedules (plan.ts).
 */

/** What must be added to this process' `performance.now()` to get the machine's clock, in ms. */
const origin = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** Microseconds on the machine's monotonic clock; comparable between processes, not machines. */
export function machineMicros(): number {
  return (origin + performance.now()) * 1000;
}
