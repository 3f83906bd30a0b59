import { setTimeout as sleep } from 'node:timers/promises';
import { residentMiB } from '../process.js';
import { Crowd } from './crowd.js';
import { usageOf } from './usage.js';

/**
 * The load of every fan-out scenario. Runs as a process of its own: receives one Plan, sends one Result
 * and exits.
 *
 * @typedef {import('./crowd.js').Gathering & Load} Plan
 * @typedef {object} Load
 * @property {number} pid of the server, whose CPU and memory are read from /proc
 * @property {number} [fill] bytes to deliver to each member before the warm-up
 * @property {number} [window] closed loop: messages in flight in total
 * @property {number} [rate] open loop: messages a second in total; without both, members stay idle
 * @property {number} warm seconds of load that are not counted
 * @property {number} seconds of load that are
 *
 * @typedef {import('./usage.js').Usage & Fanned} Result
 * @typedef {object} Fanned
 * @property {number} deliveries
 * @property {number} deliveriesPerSecond
 * @property {number} messagesPerSecond published
 * @property {number} deliveriesPerCpuSecond of the server
 * @property {number} cpuUs server CPU per delivery, microseconds
 * @property {number} bytes received per delivery
 * @property {number} expectedBytes
 * @property {number} p50Us latency of a delivery, from the write of the message to its read
 * @property {number} p99Us
 * @property {number} p999Us
 * @property {number} maxUs
 * @property {number} lateSendP99Us open loop: how late a message was sent
 * @property {number} missedOrLate deliveries to reading members that never arrived, or later than 1 s
 * @property {number} disordered numbers that arrived again or out of order
 * @property {number} rssMiB at the end
 * @property {number} rssGrowthMiB since all members had joined
 * @property {number} connectionKiB growth per member, from before the first to the end
 */

/** @param {Plan} plan @returns {Promise<Result>} */
async function run(plan) {
  const { pid, fill, window, rate, warm, seconds } = plan;
  const crowd = new Crowd(plan);
  const rssBefore = residentMiB(pid);
  await crowd.gather();
  const rssJoined = residentMiB(pid);
  crowd.stall();
  if (fill !== undefined) await crowd.fill(fill);

  if (window !== undefined) crowd.keepInFlight(window);
  else if (rate !== undefined) crowd.keepRate(rate);
  await sleep(warm * 1000);

  crowd.measuring = true;
  process.send?.({ state: 'measuring' });
  const used = usageOf(pid);
  const before = { ...crowd };
  await sleep(seconds * 1000);
  const usage = used();
  const { elapsed, serverSeconds } = usage;
  const deliveries = crowd.delivered - before.delivered;
  const messages = crowd.sent - before.sent;
  const bytes = crowd.bytes - before.bytes;
  const rssMiB = residentMiB(pid);
  await crowd.end();

  const { p50, p99, p999, max } = crowd.latency.quantiles();
  return {
    deliveries,
    deliveriesPerSecond: deliveries / elapsed,
    messagesPerSecond: messages / elapsed,
    deliveriesPerCpuSecond: deliveries / serverSeconds,
    cpuUs: (serverSeconds * 1e6) / deliveries,
    ...usage,
    bytes: bytes / deliveries,
    expectedBytes: crowd.expectedBytes,
    p50Us: p50 ?? 0,
    p99Us: p99 ?? 0,
    p999Us: p999 ?? 0,
    maxUs: max ?? 0,
    lateSendP99Us: crowd.lateness.quantiles().p99 ?? 0,
    missedOrLate: crowd.holes + crowd.outstanding + crowd.overOneSecond,
    disordered: crowd.disordered,
    rssMiB,
    rssGrowthMiB: rssMiB - rssJoined,
    connectionKiB: ((rssMiB - rssBefore) * 1024) / plan.members,
  };
}

process.once('message', async (/** @type {Plan} */ plan) => {
  const result = await run(plan);
  process.send?.(result, () => process.exit());
});
