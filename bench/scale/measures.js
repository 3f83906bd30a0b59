import { spawnSync } from 'node:child_process';
import { fanOut, fanOuts, takeover } from '../scenarios.js';
import { roomcast, roomcastWorkers } from '../targets.js';
import { accepts } from './accepts.js';
import { costOfMessages, latency, resume, slowNode } from './brokers.js';
import { promotion } from './promotion.js';

/**
 * The measurements of `scale.js` and their limits.
 *
 * @typedef {object} Measure
 * @property {string} title
 * @property {Record<string, number>} must upper limits of figures
 * @property {() => string | null} missing how to install it; null if it can run
 * @property {(seconds: number) => Promise<Record<string, number>>} measure
 */

const withoutRedis = () =>
  spawnSync('redis-server', ['--version']).status === 0
    ? roomcast.missing()
    : 'apt install redis-server';

/**
 * CPU per delivery of a server with two workers (all processes), divided by that of one process.
 *
 * @param {import('../scenarios.js').Load} load
 * @returns {(seconds: number) => Promise<Record<string, number>>}
 */
const ofOne = (load) => async (seconds) => {
  const one = await fanOut(roomcast, { ...load, seconds });
  const two = await fanOut(roomcastWorkers(2), { ...load, seconds });
  const [oneUs, twoUs] = [Number(one['cpuUs']), Number(two['cpuUs'])];
  return { ratio: twoUs / oneUs, oneUs, twoUs, foreignCores: Number(two['foreignCores']) };
};

/** @type {Record<string, Measure>} */
export const measures = {
  S1: {
    title:
      'two workers, a room of 1,000, 64 in flight: CPU per delivery, divided by that of one process',
    must: { ratio: 1.15 },
    missing: roomcast.missing,
    measure: ofOne(fanOuts.P1),
  },
  S2: {
    title: 'two workers, 200 rooms of 10: the same',
    must: { ratio: 1.45 },
    missing: roomcast.missing,
    measure: ofOne(fanOuts['P3 closed']),
  },
  S4: {
    title:
      'CPU of a node for a message over Redis, published and received (S5: of Redis, log of 100)',
    must: { nodeUs: 9, redisUs: 12 },
    missing: withoutRedis,
    measure: () => costOfMessages(64, 1, 40_000),
  },
  S5: {
    title: 'the same with 16 messages per commit',
    must: { nodeUs: 3, redisUs: 2 },
    missing: withoutRedis,
    measure: () => costOfMessages(4, 16, 160_000),
  },
  S6: {
    title:
      'CLIENT KILL with 100,000 rooms: time to resume all, CPU of Redis, longest block of the event loop',
    must: { upMs: 3000, redisCpuMs: 500, holdMs: 20 },
    missing: withoutRedis,
    measure: () => resume(100_000),
  },
  S7: {
    title:
      'one of four nodes stalls: p99 of the others divided by before; memory of Redis divided by its limit',
    must: { p99Ratio: 1.25, overLimit: 1.1 },
    missing: withoutRedis,
    measure: slowNode,
  },
  S8: {
    title: 'from one node to another, 5,000 messages a second',
    must: { p99Ms: 5 },
    missing: withoutRedis,
    measure: (seconds) => latency(5000, seconds),
  },
  S9: {
    title:
      'Sentinels promote a replica: time to the first accepted publish, time to resume 10,000 rooms',
    must: { acceptMs: 1000, upMs: 3000 },
    missing: withoutRedis,
    measure: () => promotion(10_000),
  },
  S10: {
    title: 'a worker is killed: time until each of 16 rooms accepts a publish again',
    must: { acceptMs: 1000 },
    missing: roomcast.missing,
    measure: takeover,
  },
  S13: {
    title: 'CPU of the primary per connection (200 means 5,000 a second per core)',
    must: { usEach: 200 },
    missing: roomcast.missing,
    measure: accepts,
  },
};
