/**
 * Publishes over HTTP with autocannon. Runs as a process of its own.
 *
 * @typedef {{ url: string, pid: number, body: string, connections: number, seconds: number }} Plan
 */
import autocannon from 'autocannon';
import { usageOf } from './usage.js';

/** @param {Plan} plan */
async function run({ url, pid, body, connections, seconds: duration }) {
  const headers = { 'content-type': 'application/json' };
  const used = usageOf(pid);
  const result = await autocannon({ url, method: 'POST', headers, body, connections, duration });
  const { requests, latency, non2xx, errors } = result;
  if (non2xx + errors > 0) throw new Error(`${non2xx} requests refused, ${errors} failed`);
  return { requestsPerSecond: requests.average, httpP99Ms: latency.p99, ...used() };
}

process.once('message', async (/** @type {Plan} */ plan) => {
  const result = await run(plan);
  process.send?.(result, () => process.exit());
});
