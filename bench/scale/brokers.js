import { fork } from 'node:child_process';
import { once } from 'node:events';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { withRedis } from './redis.js';

/** CPU cost of a message for a node and for Redis, and its latency. All nodes run in this process. */

/** @typedef {import('../../dist/broker/redis/redis.js').RedisBroker} RedisBroker */

/** Redis' output buffer limit for a node that does not read, and messages of 2 kB a second meanwhile. */
const LIMIT_MIB = 8;
const RATE = 2000;

const data = JSON.stringify('x'.repeat(126));
const never = () => new AbortController().signal;
const soon = () => ({ deadline: performance.now() + 60_000 });
const turn = () => new Promise((resolve) => setImmediate(resolve));

/**
 * One message per commit in 64 rooms at once, or 16 per commit in four; one node publishes and receives.
 *
 * @param {number} rooms
 * @param {number} perCommit
 * @param {number} messages
 */
export function costOfMessages(rooms, perCommit, messages) {
  return withRedis(async (redis) => {
    const broker = await redis.node();
    let delivered = 0;
    broker.onDeliver(() => {
      delivered += 1;
    });
    const names = Array.from({ length: rooms }, (_, n) => `room ${n}`);
    for (const room of names) await broker.subscribe(room, never());
    const send = async (/** @type {number} */ count) => {
      delivered = 0;
      let sent = 0;
      const publishing = async (/** @type {string} */ room) => {
        while (sent < count) {
          sent += perCommit;
          const commit = Array.from({ length: perCommit }, () =>
            broker.publish(room, { data, from: null }, soon()),
          );
          await Promise.all(commit);
        }
      };
      await Promise.all(names.map(publishing));
      while (delivered < sent) await turn();
      return sent;
    };
    // The first run only warms up the compiler.
    await send(messages / 4);
    const before = await redis.cpu();
    const own = process.cpuUsage();
    const sent = await send(messages);
    const { user, system } = process.cpuUsage(own);
    const redisSeconds = (await redis.cpu()) - before;
    return { nodeUs: (user + system) / sent, redisUs: (redisSeconds * 1e6) / sent };
  });
}

/**
 * Latency from one node to another, in an open loop.
 *
 * @param {number} rate
 * @param {number} seconds
 */
export function latency(rate, seconds) {
  return withRedis(async (redis) => {
    const [from, to] = [await redis.node(), await redis.node()];
    const heard = new Latencies();
    to.onDeliver(({ data: sent }) => heard.hear(Number(sent.split(' ', 1)[0])));
    const names = Array.from({ length: 100 }, (_, n) => `room ${n}`);
    for (const room of names) await to.subscribe(room, never());
    await keepRate(rate, 1, (n) => publishTime(from, names[n % 100] ?? ''));
    heard.clear();
    await keepRate(rate, seconds, (n) => publishTime(from, names[n % 100] ?? ''));
    await sleep(200);
    return { p50Ms: heard.quantile(0.5), p99Ms: heard.quantile(0.99) };
  });
}

/** Time to resume many rooms of one node after Redis cut its subscriptions. @param {number} rooms */
export function resume(rooms) {
  return withRedis(async (redis) => {
    const broker = await redis.node();
    const names = Array.from({ length: rooms }, (_, n) => `room ${n}`);
    await Promise.all(names.map((room) => broker.subscribe(room, never())));
    const { links } = broker.counts;
    const before = await redis.cpu();
    const holds = monitorEventLoopDelay({ resolution: 1 });
    holds.enable();
    const began = performance.now();
    await redis.ask('CLIENT', 'KILL', 'TYPE', 'pubsub');
    while (broker.counts.links === links || broker.load.suspendedRooms > 0) await sleep(20);
    const upMs = performance.now() - began;
    holds.disable();
    return { upMs, redisCpuMs: ((await redis.cpu()) - before) * 1000, holdMs: holds.max / 1e6 };
  });
}

class Latencies {
  /** @type {number[]} */
  #all = [];
  hear(/** @type {number} */ at) {
    this.#all.push(performance.now() - at);
  }
  clear() {
    this.#all = [];
  }
  quantile(/** @type {number} */ q) {
    const sorted = this.#all.sort((a, b) => a - b);
    return Number(sorted[Math.floor(sorted.length * q)]);
  }
}

/** @param {RedisBroker} from @param {string} room @param {string} [padding] */
function publishTime(from, room, padding = '') {
  const payload = { data: `${performance.now()} ${padding}`, from: null };
  // A refused publish is not delivered, so it is not measured.
  from.publish(room, payload, soon()).catch(() => {});
}

/** @param {number} rate @param {number} seconds @param {(n: number) => void} send */
async function keepRate(rate, seconds, send) {
  const began = performance.now();
  for (let n = 0; n < rate * seconds; ) {
    const due = ((performance.now() - began) * rate) / 1000;
    for (; n < due; n += 1) send(n);
    await sleep(1);
  }
}

/**
 * One of four nodes stalls: its effect on the latency of the others, and the memory that Redis uses for it.
 *
 * @param {number} seconds
 */
export function slowNode(seconds) {
  return withRedis(async (redis) => {
    await redis.ask('CONFIG', 'SET', 'client-output-buffer-limit', `pubsub ${LIMIT_MIB}mb 0 0`);
    const [from, ...others] = [await redis.node(), await redis.node(), await redis.node()];
    const heard = new Latencies();
    const names = Array.from({ length: 50 }, (_, n) => `room ${n}`);
    for (const node of others) {
      node.onDeliver(({ data: sent }) => heard.hear(Number(sent.split(' ', 1)[0])));
      for (const room of names) await node.subscribe(room, never());
    }
    const slow = fork(fileURLToPath(new URL('slow-node.js', import.meta.url)), [redis.url]);
    await once(slow, 'message');
    const padding = 'x'.repeat(2000);
    const send = (/** @type {number} */ n) => publishTime(from, names[n % 50] ?? '', padding);
    const p99 = async (/** @type {number} */ forSeconds) => {
      heard.clear();
      await keepRate(RATE, forSeconds, send);
      await sleep(200);
      return heard.quantile(0.99);
    };
    await p99(1);
    const calm = await p99(seconds);
    const memory = await redis.info('used_memory');
    slow.kill('SIGSTOP');
    let most = 0;
    const looking = setInterval(async () => {
      most = Math.max(most, (await redis.info('used_memory')) - memory);
    }, 100);
    const slowed = await p99(3 * seconds);
    clearInterval(looking);
    slow.kill('SIGKILL');
    return { p99Ratio: slowed / calm, overLimit: most / (LIMIT_MIB * 2 ** 20) };
  });
}
