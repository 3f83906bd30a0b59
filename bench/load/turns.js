import { setTimeout as sleep } from 'node:timers/promises';
import { Crowd } from './crowd.js';
import { usageOf } from './usage.js';

/**
 * The load of `compare.js`. Runs as a process of its own: several servers at once, each with members that
 * are idle except in its turn.
 *
 * @typedef {object} Plan
 * @property {{ port: number, pid: number, wire: import('./crowd.js').Gathering['wire'] }[]} servers
 * @property {import('../scenarios.js').Load} load
 * @property {number} warm seconds of load at first that are not counted
 * @property {number} settle the same at the beginning of each turn
 * @property {number} seconds of load in a turn that are counted
 * @property {number} turns of each server
 */

/** @param {Plan} plan @returns {Promise<number[][]>} server CPU per delivery, µs, by server and turn */
async function run({ servers, load, warm, settle, seconds, turns }) {
  /** @type {{ crowd: Crowd, pid: number, figures: number[] }[]} */
  const all = [];
  for (const { port, pid, wire } of servers) {
    const crowd = new Crowd({ ...load, port, wire });
    await crowd.gather();
    all.push({ crowd, pid, figures: [] });
  }
  /** @param {typeof all[number]} server @param {number} unmeasured @param {number} measured */
  const turn = async ({ crowd, pid, figures }, unmeasured, measured) => {
    if (load.window !== undefined) crowd.keepInFlight(load.window);
    else crowd.keepRate(load.rate ?? 0);
    await sleep(unmeasured * 1000);
    const used = usageOf(pid);
    const before = crowd.delivered;
    await sleep(measured * 1000);
    const { serverSeconds } = used();
    if (measured > 0) figures.push((serverSeconds * 1e6) / (crowd.delivered - before));
    await crowd.end();
  };
  for (const server of all) await turn(server, warm, 0);
  for (let i = 0; i < turns; i++) {
    // Each round begins with another server, so that none is always the first.
    for (let j = 0; j < all.length; j++) {
      await turn(/** @type {typeof all[number]} */ (all[(i + j) % all.length]), settle, seconds);
    }
  }
  for (const { crowd } of all) {
    if (crowd.holes + crowd.outstanding > 0) throw new Error('not every message has arrived');
  }
  return all.map(({ figures }) => figures);
}

process.once('message', async (/** @type {Plan} */ plan) => {
  const figures = await run(plan);
  process.send?.(figures, () => process.exit());
});
